"""Traces of people with habits: evenings, weekends, conversations, signs before a question. Pure.

Each person has hours of their own, days off, and a liking for some kinds of questions. On a day
they come, or not; when they come, they ask in bouts: one question and often some more. Before a
question they type, join the voice channel or upload a picture, and people also type without asking
anything. A question is one of these, with the models that it takes:

chat      the chat model
picture   the vision models at once, then the chat model
voice     the speech model, then the chat model
code      the code model
draw      the chat model (it words the picture), then the model that draws
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random

from danzar.core.prediction_hints import HintKind
from danzar.simulate.trace import Hint, Line, Turn
from danzar.simulate.world import World

DAY_S = 86_400.0
_WEEK = 7
_WEEKEND = (5, 6)
Stages = tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Crowd:
    """What kind of server it is.

    Attributes:
        people: How many ask the bot.
        comes: How likely a person comes on a working day; days off are 1.4 times as likely.
        bouts: How often a person who comes asks, on average.
        more: How likely another question follows within a bout.
        chatter: For each bout, so many times people type in the channel without asking.
    """

    people: int
    comes: float
    bouts: float
    more: float
    chatter: float


FRIENDS = Crowd(people=5, comes=0.55, bouts=1.6, more=0.25, chatter=1.0)
"""A few friends with a bot in a channel of its own: single questions, most of them at night."""
GUILD = Crowd(people=14, comes=0.6, bouts=2.0, more=0.65, chatter=3.0)
"""A lively server: conversations, and a channel where people talk to each other as well."""


@dataclass(frozen=True, slots=True)
class _Person:
    """Their hours (mean and spread) on working days and days off, and what they ask."""

    hours: tuple[tuple[float, float], ...]
    free_hours: tuple[tuple[float, float], ...]
    likings: tuple[float, ...]
    joins_voice: float


def friends(world: World, random: Random, requests: int) -> Iterator[Line]:
    """A small server of friends: single questions, at habitual hours."""
    yield from crowd(world, random, requests, FRIENDS)


def guild(world: World, random: Random, requests: int) -> Iterator[Line]:
    """A lively server: conversations every evening."""
    yield from crowd(world, random, requests, GUILD)


def crowd(world: World, random: Random, turns: int, kind: Crowd) -> Iterator[Line]:
    """As many days as it takes to ask so often."""
    questions = _questions(world)
    people = [_person(random, len(questions)) for _ in range(kind.people)]
    made = day = 0
    while made < turns:
        for person in people:
            for line in _day(person, questions, random, day, kind):
                made += isinstance(line, Turn)
                yield line
        day += 1


def _questions(world: World) -> list[Stages]:
    """What can be asked of the world's models; the first kind needs one to chat with."""
    by = {p: _of(world, p) for p in ("chat", "vision", "speech", "code", "pictures")}
    chat = by["chat"][:1] or tuple(sorted(world.models))[:1]
    found: list[Stages] = [(chat,)]
    found += [(by["vision"], chat)] if by["vision"] else []
    found += [(by["speech"][:1], chat)] if by["speech"] else []
    found += [(by["code"][:1],)] if by["code"] else []
    found += [(chat, by["pictures"][:1])] if by["pictures"] else []
    return found


def _of(world: World, purpose: str) -> tuple[str, ...]:
    return tuple(n for n, m in sorted(world.models.items()) if m.facts.purpose == purpose)


def _person(random: Random, kinds: int) -> _Person:
    evening = (random.gauss(20.5, 1.0), random.uniform(0.4, 1.0))
    other = random.choice(((12.5, 0.5), (17.5, 0.7), (22.5, 0.6)))
    afternoon = (random.gauss(15.5, 1.5), random.uniform(1.0, 2.0))
    likings = [1.0, *(random.random() ** 2 * 0.5 for _ in range(kinds - 1))]
    return _Person((evening, evening, other), (evening, afternoon), tuple(likings), random.random())


def _day(
    person: _Person, questions: Sequence[Stages], random: Random, day: int, kind: Crowd
) -> Iterator[Line]:
    free = day % _WEEK in _WEEKEND
    if random.random() > min(0.95, kind.comes * (1.4 if free else 1.0)):
        return
    for _ in range(1 + _poisson(random, kind.bouts - 1.0)):
        mean_h, spread_h = random.choice(person.free_hours if free else person.hours)
        hour = min(23.9, max(0.0, random.gauss(mean_h, spread_h)))
        yield from _bout(person, questions, random, (day + hour / 24) * DAY_S, kind)


def _bout(
    person: _Person, questions: Sequence[Stages], random: Random, at_s: float, kind: Crowd
) -> Iterator[Line]:
    """One question, and often some more; people keep to a kind of question for a while."""
    stages = random.choices(questions, weights=person.likings)[0]
    chat = questions[0][0][0]
    for _ in range(_poisson(random, kind.chatter)):
        yield Hint(max(0.0, at_s + random.gauss(0, 1800)), chat, HintKind.TYPING)
    while True:
        yield from _signs(stages, random, at_s, chat, person)
        yield Turn(at_s, stages)
        if random.random() > kind.more:
            return
        at_s += 15.0 + random.lognormvariate(math.log(50.0), 0.8)
        if random.random() > 0.7:  # noqa: PLR2004 - the rest stays with the same kind
            stages = random.choices(questions, weights=person.likings)[0]


def _signs(
    stages: Stages, random: Random, at_s: float, chat: str, person: _Person
) -> Iterator[Line]:
    """What can be seen before the question is there; a voice message comes unannounced."""
    speaks = len(stages) > 1 and len(stages[0]) == 1 and stages[-1][0] == chat
    if speaks:
        if random.random() < person.joins_voice:
            before_s = random.uniform(20.0, 600.0)
            yield Hint(max(0.0, at_s - before_s), stages[0][0], HintKind.VOICE)
        return
    typed_s = min(60.0, random.lognormvariate(math.log(9.0), 0.6))
    if random.random() < 0.9:  # noqa: PLR2004 - some paste, which is not seen
        yield Hint(max(0.0, at_s - typed_s), chat, HintKind.TYPING)
    if len(stages[0]) > 1 and random.random() < 0.3:  # noqa: PLR2004
        # The picture stands in the channel before somebody asks about it.
        for model in stages[0]:
            yield Hint(max(0.0, at_s - random.uniform(15.0, 90.0)), model, HintKind.UPLOAD)


def _poisson(random: Random, mean: float) -> int:
    """How many of many rare things happen."""
    limit, product, count = math.exp(-max(0.0, mean)), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count
