"""Days on which one class asks ten times as often as all others: the hard case for fairness. Pure.

A day of 86,400 s has quiet and busy hours. In between come bursts (several people at once), and
three times a day one person posts ``FLOOD`` requests within seconds. Which class is the busy one is
in the maker's name; the others share what is left.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from danzar.core.asker import RequestClass
from danzar.simulate.trace import Ask, Line
from danzar.simulate.world import World

DAY_S = 86_400.0
RATIO = 10
FLOOD = 30
FLOODER = "flooder"
_FLOODS = 3
_BUSY_PEOPLE = 12
_RARE_PEOPLE = 4
_BURST_SHARE = 0.2
_SPREAD = 0.5


@dataclass(frozen=True, slots=True)
class _Mix:
    """Who is busy, and who is rare."""

    busy: RequestClass
    rare: tuple[RequestClass, ...]


_CHATTY = _Mix(RequestClass.CHAT, (RequestClass.VISION, RequestClass.WATCH, RequestClass.JOB))
_WATCHFUL = _Mix(RequestClass.WATCH, (RequestClass.VISION, RequestClass.CHAT, RequestClass.JOB))


def tenfold(world: World, random: Random, requests: int) -> Iterator[Line]:
    """Ten times as much talk as anything else, over one day."""
    return _day(world, random, requests, _CHATTY)


def tenframes(world: World, random: Random, requests: int) -> Iterator[Line]:
    """Ten times as many frames of watches as anything else, over one day."""
    return _day(world, random, requests, _WATCHFUL)


def _day(world: World, random: Random, requests: int, mix: _Mix) -> Iterator[Line]:
    floods = min(requests // (2 * FLOOD), _FLOODS)
    busy = requests * RATIO // (RATIO + 1) - floods * FLOOD
    made = 0
    while made < busy:
        at_s = _moment_s(random)
        count = min(random.randint(4, 10) if random.random() < _BURST_SHARE / 7 else 1, busy - made)
        for number in random.sample(range(_BUSY_PEOPLE), count):
            yield _ask(world, random, at_s, mix.busy, f"{mix.busy} {number}")
            at_s += random.expovariate(1 / 3.0)
        made += count
    for n in range(requests - busy - floods * FLOOD):
        kind = mix.rare[n % len(mix.rare)]
        person = f"{kind} {random.randrange(_RARE_PEOPLE)}"
        yield _ask(world, random, _moment_s(random), kind, person)
    for _ in range(floods):
        at_s = _moment_s(random)
        for n in range(FLOOD):
            yield _ask(world, random, at_s + 0.3 * n, mix.busy, FLOODER)


def _moment_s(random: Random) -> float:
    """Some time of the day: noon is ten times as busy as midnight."""
    while True:
        at_s = random.random() * DAY_S
        if random.random() < 0.1 + 0.9 * (0.5 - 0.5 * math.cos(2 * math.pi * at_s / DAY_S)):
            return at_s


def _ask(world: World, random: Random, at_s: float, kind: RequestClass, person: str) -> Ask:
    talks = kind in (RequestClass.CHAT, RequestClass.JOB)
    fitting = [n for n, m in sorted(world.models.items()) if (m.facts.purpose == "chat") == talks]
    model = random.choice(fitting or sorted(world.models))
    seconds = world.models[model].request_s
    seconds *= random.lognormvariate(-_SPREAD * _SPREAD / 2, _SPREAD)
    return Ask(at_s, model, seconds, kind, person)
