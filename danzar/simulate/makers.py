"""Traces made from a seed, for any described world. Pure: the same seed gives the same trace.

How popular the models are stands in the devices file; where it does not, popularity follows Zipf's
law in an order that the seed shuffles. Gaps between requests are exponential; how long a request
computes varies around what the file says (log-normal).
"""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from random import Random

from danzar.errors import BadInput
from danzar.simulate.crowds import tenfold, tenframes
from danzar.simulate.mixed import mixed
from danzar.simulate.rhythm import friends, guild
from danzar.simulate.trace import Ask, Foreign, Line, Lose, RunOut, Trace, in_order
from danzar.simulate.world import World, label_of

REQUESTS = 2000
_MOST_REQUESTS = 1_000_000
_EXPONENT = 1.0
_GAP_S = 60.0
_DAY_S = 86_400.0
_SPREAD = 0.5

Maker = Callable[[World, Random, int], Iterator[Line]]
Draw = Callable[[], str]


def make_trace(text: str, world: World) -> Trace | None:
    """The trace that ``MAKER:SEED`` or ``MAKER:SEED:REQUESTS`` names; ``None`` for other texts.

    Raises:
        BadInput: The maker is known, but not the rest.
    """
    name, _, rest = text.partition(":")
    maker = MAKERS.get(name)
    if maker is None:
        return None
    seed, _, count = rest.partition(":")
    if not seed.isdecimal() or not (count or "1").isdecimal():
        raise BadInput(f"{text!r} is no trace; write {name}:SEED or {name}:SEED:REQUESTS")
    requests = int(count or REQUESTS)
    if not 1 <= requests <= _MOST_REQUESTS:
        raise BadInput(f"{text!r} asks for {requests} requests; allowed: 1 to {_MOST_REQUESTS}")
    # Not for secrets: a trace must be the same on every machine.
    random = Random(f"{name}:{seed}")  # noqa: S311
    return in_order(maker(world, random, requests))


def zipf(world: World, random: Random, requests: int) -> Iterator[Line]:
    """Independent requests; popularity never changes."""
    draw = _popularity(world, sorted(world.models), random)
    at_s = 0.0
    for _ in range(requests):
        at_s += random.expovariate(1 / _GAP_S)
        yield _ask(world, random, at_s, draw())


def bursts(world: World, random: Random, requests: int) -> Iterator[Line]:
    """Half are single requests; half come in runs of 4 to 20 for one model within minutes."""
    draw = _popularity(world, sorted(world.models), random)
    at_s, made = 0.0, 0
    while made < requests:
        at_s += random.expovariate(1 / (6 * _GAP_S))
        run = random.choice((1, 1, 1, 1, 1, 1, random.randint(4, 20)))
        model, moment_s = draw(), at_s
        for _ in range(run):
            yield _ask(world, random, moment_s, model)
            moment_s += random.expovariate(1 / 12.0)
            made += 1


def daynight(world: World, random: Random, requests: int) -> Iterator[Line]:
    """A busy day and a quiet night with a popularity of its own; as many days as it takes."""
    names = sorted(world.models)
    day, night = _popularity(world, names, random), _shuffled(names, random)
    at_s = 0.0
    for _ in range(requests):
        height = 0.5 - 0.5 * math.cos(2 * math.pi * at_s / _DAY_S)
        at_s += random.expovariate((0.1 + 0.9 * height) / (2 * _GAP_S))
        yield _ask(world, random, at_s, day() if random.random() < height else night())


def twoclass(world: World, random: Random, requests: int) -> Iterator[Line]:
    """Conversations with chat models beside pictures for the others, some in streams of frames."""
    chat = [n for n, m in sorted(world.models.items()) if m.facts.purpose == "chat"]
    other = [n for n in sorted(world.models) if n not in chat]
    talk = _popularity(world, chat or other, random)
    look = _popularity(world, other or chat, random)
    yield from _talks(world, random, requests // 2, talk)
    yield from _looks(world, random, requests - requests // 2, look)


def hostile(world: World, random: Random, requests: int) -> Iterator[Line]:
    """Zipf, while a game takes and gives back memory, workers die and requests run out."""
    asks = list(zipf(world, random, requests))
    yield from asks
    cards = [d for d in world.devices if d.index >= 0]
    names, end_s = sorted(world.models), asks[-1].at_s
    at_s = 0.0
    while at_s < end_s and cards:
        at_s += random.expovariate(1 / 300)
        card = random.choice(cards)
        taken_bytes = card.foreign_bytes + int(random.random() ** 2 * card.total_bytes)
        yield Foreign(at_s, label_of(card), taken_bytes)
        yield Foreign(at_s + random.expovariate(1 / 120), label_of(card), card.foreign_bytes)
    for kind, gap_s in ((Lose, 900.0), (RunOut, 600.0)):
        at_s = random.expovariate(1 / gap_s)
        while at_s < end_s:
            yield kind(at_s, random.choice(names))
            at_s += random.expovariate(1 / gap_s)


MAKERS: dict[str, Maker] = {
    "zipf": zipf,
    "bursts": bursts,
    "daynight": daynight,
    "twoclass": twoclass,
    "hostile": hostile,
    "tenfold": tenfold,
    "tenframes": tenframes,
    "friends": friends,
    "guild": guild,
    "mixed": mixed,
}


def _talks(world: World, random: Random, requests: int, draw: Draw) -> Iterator[Line]:
    at_s, made = 0.0, 0
    while made < requests:
        at_s += random.expovariate(1 / (8 * _GAP_S))
        model, moment_s = draw(), at_s
        for _ in range(min(random.randint(1, 8), requests - made)):
            yield _ask(world, random, moment_s, model)
            moment_s += random.expovariate(1 / 40.0)
            made += 1


def _looks(world: World, random: Random, requests: int, draw: Draw) -> Iterator[Line]:
    at_s, made = 0.0, 0
    while made < requests:
        at_s += random.expovariate(1 / (10 * _GAP_S))
        frames = min(random.choice((1, 1, 1, random.randint(10, 30))), requests - made)
        model = draw()
        for i in range(frames):
            yield _ask(world, random, at_s + 4.0 * i, model)
        made += frames


def _ask(world: World, random: Random, at_s: float, model: str) -> Ask:
    spread = random.lognormvariate(-_SPREAD * _SPREAD / 2, _SPREAD)
    return Ask(at_s, model, world.models[model].request_s * spread)


def _popularity(world: World, names: Sequence[str], random: Random) -> Draw:
    """Draws a name as often as the world says, or by Zipf's law where it does not say."""
    said = [world.models[name].popularity for name in names]
    weights = [1.0 if weight is None else weight for weight in said]
    if all(weight is None for weight in said):
        return _shuffled(names, random)
    return _draw(names, weights, random)


def _shuffled(names: Sequence[str], random: Random) -> Draw:
    """Draws a name: the one of rank ``r`` is as popular as ``1 / r``."""
    ranked = random.sample(names, len(names))
    return _draw(ranked, [1 / rank**_EXPONENT for rank in range(1, len(ranked) + 1)], random)


def _draw(names: Sequence[str], weights: Sequence[float], random: Random) -> Draw:
    totals = list(accumulate(weights))
    return lambda: random.choices(names, cum_weights=totals)[0]
