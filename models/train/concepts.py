"""The concepts that the small CLIP is taught, and when each is true of a frame."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

State = dict[str, Any]
DARK_LUMA, BRIGHT_LUMA = 24.0, 58.0  # mean of the view, 0 to 255
LOW_HEALTH, GOOD_HEALTH = 30, 80


@dataclass(frozen=True)
class Concept:
    """A name, other ways to say it, and whether it is true of a frame."""

    name: str
    is_true: Callable[[State], bool]
    also: tuple[str, ...] = ()


def _count(state: State, label: str) -> int:
    return sum(box[0] == label for box in state["boxes"])


def _shows_world(state: State) -> bool:
    return state["shown"] in {"plain", "inset"}


def _enemies(low: int, high: int) -> Callable[[State], bool]:
    return lambda s: _shows_world(s) and not _count(s, "boss") and low <= _count(s, "enemy") <= high


def _holds(slot: int) -> Callable[[State], bool]:
    return lambda s: _shows_world(s) and not s["third_person"] and s["weapon"] == slot


# Exactly one of these is true of every frame: what the zero-shot figure is about.
SITUATIONS = (
    Concept(
        "a menu", lambda s: s["shown"] == "menu", ("the options menu", "a game menu on the screen")
    ),
    Concept(
        "the automap open",
        lambda s: s["shown"] == "map",
        ("a full-screen map", "the map of the level"),
    ),
    Concept(
        "a boss fight",
        lambda s: _shows_world(s) and _count(s, "boss") > 0,
        ("a boss in front of the player", "fighting a huge boss monster"),
    ),
    Concept(
        "several enemies",
        _enemies(2, 99),
        ("a group of monsters", "many enemies attacking"),
    ),
    Concept(
        "an enemy in front of the player",
        _enemies(1, 1),
        ("one enemy", "a single monster", "an enemy ahead"),
    ),
    Concept(
        "nothing dangerous",
        _enemies(0, 0),
        ("an empty room", "no enemies in sight", "a quiet place"),
    ),
)
OTHERS = (
    Concept(
        "low health",
        lambda s: s["hud"] == "bar" and _shows_world(s) and s["health"] < LOW_HEALTH,
        ("the player is nearly dead", "a bloodied face, health is low"),
    ),
    Concept(
        "good health",
        lambda s: s["hud"] == "bar" and _shows_world(s) and s["health"] >= GOOD_HEALTH,
        ("the player is healthy", "full health"),
    ),
    Concept(
        "a minimap in the corner",
        lambda s: s["shown"] == "inset",
        ("a small map over the game",),
    ),
    Concept(
        "a third-person view",
        lambda s: _shows_world(s) and s["third_person"] and _count(s, "player") > 0,
        ("the player seen from behind", "the camera behind the player"),
    ),
    Concept(
        "outdoors",
        lambda s: _shows_world(s) and s["outdoors"],
        ("under the open sky", "outside"),
    ),
    Concept(
        "indoors",
        lambda s: _shows_world(s) and not s["outdoors"],
        ("inside a building", "a room with a ceiling"),
    ),
    Concept(
        "a dark corridor",
        lambda s: _shows_world(s) and not s["outdoors"] and s["luma"] < DARK_LUMA,
        ("a dark room", "a very dark place indoors"),
    ),
    Concept(
        "a bright place",
        lambda s: _shows_world(s) and s["luma"] > BRIGHT_LUMA,
        ("a brightly lit area",),
    ),
    Concept("a pistol", _holds(2), ("holding a pistol",)),
    Concept("a shotgun", _holds(3), ("holding a shotgun",)),
    Concept("a chaingun", _holds(4), ("holding a machine gun",)),
    Concept("a rocket launcher", _holds(5), ("holding a rocket launcher",)),
    Concept("an energy weapon", lambda s: _holds(6)(s) or _holds(7)(s), ("holding a plasma gun",)),
    Concept("bare fists", _holds(1), ("no weapon, only fists",)),
)
CONCEPTS = SITUATIONS + OTHERS


def truths(state: State) -> list[bool]:
    """For each of ``CONCEPTS``, whether it is true of the frame."""
    return [concept.is_true(state) for concept in CONCEPTS]
