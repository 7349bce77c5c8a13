"""What differs between two configurations, and what of it may change while Danzar runs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from danzar.config.base import Settings
from danzar.config.keys import Key
from danzar.config.load import FILES
from danzar.config.schema import schema_at
from danzar.config.secrets import show
from danzar.config.settings import Config
from danzar.units import format_size

_ANY = "*"
# What the running parts follow (see danzar/live); all else is read once, at the start.
_LIVE: tuple[tuple[str, ...], ...] = (
    ("vram", "placement", _ANY),
    ("vram", "pressure", _ANY),
    ("vram", "queue", _ANY),
    ("vram", "queue", "bounds_s", _ANY),
    ("vram", "monitor", _ANY),
    ("vram", "optimizer", _ANY),
    ("vram", "warm", _ANY),
    ("vram", "prediction", _ANY),
    ("vram", "devices", _ANY, _ANY),
    ("vision", "gpu_memory", _ANY),
    ("bot", "alerts", _ANY),
    *(
        ("models", "models", _ANY, key)
        for key in ("priority", "pinned", "protected", "fallback", "allow_cpu")
    ),
)
_AT_START = (
    ("vram", "placement", "preload"),
    ("vram", "monitor", "history_s"),
    ("bot", "alerts", "keep_days"),
    ("bot", "alerts", "keep"),
)
_ABSENT = object()


@dataclass(frozen=True, slots=True)
class Change:
    """One setting that differs; ``old`` and ``new`` are as a message may show them."""

    key: Key
    old: str
    new: str

    def __str__(self) -> str:
        return f"{self.key}: {self.old} -> {self.new}"


def changes_between(old: Config, new: Config) -> tuple[Change, ...]:
    """Every setting that differs, in the order of the files."""
    found = (
        _change(Key(file, path), before, after)
        for file in FILES
        for path, before, after in _differences(_dump(old, file), _dump(new, file), ())
    )
    return tuple(change for change in found if change is not None)


def can_change_live(key: Key) -> bool:
    """Whether the setting may change while Danzar runs."""
    place = (key.file, *key.path)
    return place not in _AT_START and any(_matches(place, pattern) for pattern in _LIVE)


def _matches(place: tuple[str, ...], pattern: tuple[str, ...]) -> bool:
    return len(place) == len(pattern) and all(
        wanted in (_ANY, part) for part, wanted in zip(place, pattern, strict=True)
    )


def _differences(
    old: object, new: object, path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], object, object]]:
    if isinstance(old, dict) or isinstance(new, dict):
        before, after = _entries(old), _entries(new)
        for key in dict.fromkeys((*before, *after)):
            yield from _differences(
                before.get(key, _ABSENT), after.get(key, _ABSENT), (*path, str(key))
            )
    elif old != new:
        yield path, old, new


def _entries(data: object) -> dict[Any, object]:
    return data if isinstance(data, dict) else {}


def _dump(config: Config, file: str) -> dict[str, Any]:
    section: Settings = getattr(config, file)
    return section.model_dump()


def _change(key: Key, old: object, new: object) -> Change | None:
    """``None`` where the section is new or gone, and the setting has its default on both sides."""
    schema = schema_at(FILES[key.file][1], key.path) or {}
    if old is _ABSENT:
        old = schema.get("default", _ABSENT)
    if new is _ABSENT:
        new = schema.get("default", _ABSENT)
    if old == new:
        return None
    is_size = bool(schema.get("size"))
    return Change(key, _shown(key, old, is_size=is_size), _shown(key, new, is_size=is_size))


def _shown(key: Key, value: object, *, is_size: bool) -> str:
    if value is _ABSENT:
        return "nothing"
    return format_size(value) if is_size and isinstance(value, int) else show(value, key.path[-1])
