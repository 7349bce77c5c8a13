"""An hour in which everything is asked at once: words, pictures seen and made, watches, jobs. Pure.

People come in bouts: a conversation, some pictures to ask about, several tries at one drawing. A
picture that someone asks about takes all vision models at once and then the chat model. Frames of
a watch come steadily for ten minutes at a time. Background jobs come alone, half for words and half
for drawings. Models are told apart by their purpose: ``chat``, ``pictures``, and all others look.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from danzar.core.asker import RequestClass
from danzar.simulate.trace import Ask, Line
from danzar.simulate.world import World

HOUR_S = 3600.0
_PEOPLE = 8
_WATCH_S = 600.0
_SPREAD = 0.4
# Of all requests: what people ask in words, about pictures, for pictures; what watches and jobs do.
_TALK, _LOOK, _DRAW, _WATCH = 0.35, 0.2, 0.15, 0.2


@dataclass(frozen=True, slots=True)
class _Cast:
    """Which models do what; for what the world has no model for, any will do."""

    chat: Sequence[str]
    draw: Sequence[str]
    look: Sequence[str]


def mixed(world: World, random: Random, requests: int) -> Iterator[Line]:
    """So many requests within one hour."""
    cast = _cast(world)
    left = requests
    for count, make in (
        (round(requests * _TALK), _talk),
        (round(requests * _LOOK), _look),
        (round(requests * _DRAW), _draw),
        (round(requests * _WATCH), _watch),
    ):
        left -= count
        yield from make(world, random, cast, count)
    yield from _jobs(world, random, cast, left)


def _cast(world: World) -> _Cast:
    def of(purpose: str) -> list[str]:
        return [n for n, m in sorted(world.models.items()) if m.facts.purpose == purpose]

    names = sorted(world.models)
    others = [n for n in names if world.models[n].facts.purpose not in ("chat", "pictures")]
    return _Cast(of("chat") or names, of("pictures") or names, others or names)


def _talk(world: World, random: Random, cast: _Cast, requests: int) -> Iterator[Line]:
    """Conversations of one to eight questions."""
    for moment in _bouts(random, requests, longest=8, gap_s=25.0):
        model = cast.chat[moment.bout % len(cast.chat)]
        yield _ask(world, random, moment.at_s, model, RequestClass.CHAT, moment.person)


def _look(world: World, random: Random, cast: _Cast, requests: int) -> Iterator[Line]:
    """Pictures to look at; the answer is worded some seconds later."""
    each = len(cast.look) + 1
    for moment in _bouts(random, requests // each, longest=4, gap_s=20.0):
        for model in cast.look:
            yield _ask(world, random, moment.at_s, model, RequestClass.VISION, moment.person)
        later_s = moment.at_s + 1.0
        yield _ask(world, random, later_s, cast.chat[0], RequestClass.VISION, moment.person)
    for _ in range(requests % each):
        at_s = random.random() * HOUR_S
        yield _ask(world, random, at_s, cast.look[0], RequestClass.VISION, "someone")


def _draw(world: World, random: Random, cast: _Cast, requests: int) -> Iterator[Line]:
    """Several tries at one picture."""
    for moment in _bouts(random, requests, longest=5, gap_s=15.0):
        model = cast.draw[moment.bout % len(cast.draw)]
        yield _ask(world, random, moment.at_s, model, RequestClass.PICTURE, moment.person)


def _watch(world: World, random: Random, cast: _Cast, requests: int) -> Iterator[Line]:
    """Frames, as steadily as it takes to have so many, in ten minutes each."""
    made = 0
    while made < requests:
        begin_s = random.random() * (HOUR_S - _WATCH_S)
        frames = min(60, requests - made)
        for n in range(frames):
            at_s = begin_s + n * _WATCH_S / 60
            yield _ask(world, random, at_s, cast.look[0], RequestClass.WATCH, f"watch {made}")
        made += frames


def _jobs(world: World, random: Random, cast: _Cast, requests: int) -> Iterator[Line]:
    """Background work, half words and half drawings."""
    for n in range(requests):
        able = cast.draw if n % 2 else cast.chat
        model = able[n // 2 % len(able)]
        at_s = random.random() * HOUR_S
        yield _ask(world, random, at_s, model, RequestClass.JOB, f"program {n % 3}")


@dataclass(frozen=True, slots=True)
class _Moment:
    """When a person asks; whoever keeps at it stays with one model."""

    at_s: float
    person: str
    bout: int


def _bouts(random: Random, requests: int, longest: int, gap_s: float) -> Iterator[_Moment]:
    made = bout = 0
    while made < requests:
        person, at_s = f"person {random.randrange(_PEOPLE)}", random.random() * HOUR_S
        for _ in range(min(random.randint(1, longest), requests - made)):
            yield _Moment(min(at_s, HOUR_S), person, bout)
            at_s += random.expovariate(1 / gap_s)
            made += 1
        bout += 1


def _ask(
    world: World, random: Random, at_s: float, model: str, kind: RequestClass, person: str
) -> Ask:
    spread = random.lognormvariate(-_SPREAD * _SPREAD / 2, _SPREAD)
    return Ask(at_s, model, world.models[model].request_s * spread, kind, person)
