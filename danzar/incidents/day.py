"""What happened in the last 24 hours, as counts in steps of ten minutes."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from danzar.broker.news import (
    LoadEnded,
    LoadOutcome,
    News,
    RequestEnded,
    RequestOutcome,
    UnloadBegan,
)
from danzar.core.asker import RequestClass
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.workers.contract import DetectedBatch, Generated, RankedBatch

DAY_S = 86_400.0
T = TypeVar("T")
_STEP_S = 600.0
# Waits are counted in classes whose bounds are this much apart: a quantile is off by 5 % at most.
_RATIO = 1.1
_SHORTEST_S = 0.001
_LONGEST = 200  # classes; the last one is beyond two days


@dataclass(frozen=True, slots=True)
class Peak:
    """The fullest moment of a card; aware, UTC."""

    title: str
    used_bytes: int
    total_bytes: int
    at: datetime


@dataclass(frozen=True, slots=True)
class WaitFigures:
    """How long requests of one class waited, seconds."""

    count: int
    p50_s: float
    p99_s: float


@dataclass(slots=True)
class _Step:
    """Counts of one step; ``peaks`` by a card's UUID."""

    at: datetime
    outcomes: Counter[RequestOutcome] = field(default_factory=Counter)
    answered: Counter[RequestClass] = field(default_factory=Counter)
    refusals: Counter[str] = field(default_factory=Counter)
    waits: Counter[tuple[RequestClass, int]] = field(default_factory=Counter)
    loads: Counter[LoadOutcome] = field(default_factory=Counter)
    unloads: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    frames: int = 0
    peaks: dict[str, Peak] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DayFigures:
    """The sum of a span.

    Attributes:
        since: From when on they count.
        outcomes: Requests by how they ended; ``answered`` by class, ``refusals`` by reason.
        unloads: By cause.
        tokens: ``prompt`` and ``generated``.
        peaks: Cards in the order of their titles.
    """

    since: datetime
    outcomes: Mapping[RequestOutcome, int]
    answered: Mapping[RequestClass, int]
    refusals: Mapping[str, int]
    waits: Mapping[RequestClass, WaitFigures]
    loads: Mapping[LoadOutcome, int]
    unloads: Mapping[str, int]
    tokens: Mapping[str, int]
    frames: int
    peaks: tuple[Peak, ...]


class DayLog:
    """Counts what it hears; bounded by time and by what there is to count."""

    def __init__(self, now: Callable[[], datetime]) -> None:
        """Begin now; ``now`` gives aware times, UTC."""
        self._now = now
        self.began_at = now()
        self._steps: deque[_Step] = deque(maxlen=round(DAY_S / _STEP_S) + 1)

    def hear(self, news: News) -> None:
        """Count it; for ``NewsDesk.add_listener``."""
        step = self._step()
        match news:
            case RequestEnded():
                _count_request(step, news)
            case LoadEnded():
                step.loads[news.outcome] += 1
            case UnloadBegan():
                step.unloads[str(news.cause)] += 1
            case _:
                pass

    def note(self, devices: Iterable[DeviceMemory]) -> None:
        """Keep the cards' fullest moments."""
        step, now = self._step(), self._now()
        for device in devices:
            snapshot = device.snapshot
            if snapshot.kind is not DeviceKind.CUDA or snapshot.used_bytes is None:
                continue
            known = step.peaks.get(snapshot.uuid)
            if known is None or snapshot.used_bytes > known.used_bytes:
                simulated = " (simulated)" if snapshot.simulated else ""
                title = f"{snapshot.label}{simulated}"
                step.peaks[snapshot.uuid] = Peak(
                    title, snapshot.used_bytes, snapshot.total_bytes, now
                )

    def figures(self) -> DayFigures:
        """The last 24 hours, or less if it began later."""
        oldest = self._now() - timedelta(seconds=DAY_S)
        steps = [s for s in self._steps if s.at + timedelta(seconds=_STEP_S) > oldest]
        return DayFigures(
            since=max(oldest, self.began_at),
            outcomes=_sum(s.outcomes for s in steps),
            answered=_sum(s.answered for s in steps),
            refusals=_sum(s.refusals for s in steps),
            waits=_wait_figures(_sum(s.waits for s in steps)),
            loads=_sum(s.loads for s in steps),
            unloads=_sum(s.unloads for s in steps),
            tokens=_sum(s.tokens for s in steps),
            frames=sum(s.frames for s in steps),
            peaks=_highest(s.peaks for s in steps),
        )

    def _step(self) -> _Step:
        now = self._now()
        if not self._steps or (now - self._steps[-1].at).total_seconds() >= _STEP_S:
            self._steps.append(_Step(now))
        return self._steps[-1]


def _count_request(step: _Step, news: RequestEnded) -> None:
    step.outcomes[news.outcome] += 1
    if news.waited_s is not None:
        step.waits[(news.request_class, _class_of(news.waited_s))] += 1
    if news.outcome is RequestOutcome.ANSWERED:
        step.answered[news.request_class] += 1
    if news.outcome is RequestOutcome.REFUSED:
        step.refusals[news.error] += 1
    match news.result:
        case Generated(prompt_tokens=prompt, completion_tokens=generated):
            step.tokens["prompt"] += prompt
            step.tokens["generated"] += generated
        case DetectedBatch(pictures=pictures) | RankedBatch(pictures=pictures):
            step.frames += len(pictures)
        case _:
            pass


def _class_of(waited_s: float) -> int:
    if waited_s <= _SHORTEST_S:
        return 0
    return min(_LONGEST, math.ceil(math.log(waited_s / _SHORTEST_S, _RATIO)))


def _middle_s(number: int) -> float:
    return 0.0 if number == 0 else _SHORTEST_S * _RATIO ** (number - 0.5)


def _wait_figures(
    counts: Counter[tuple[RequestClass, int]],
) -> dict[RequestClass, WaitFigures]:
    found = {}
    for kind in RequestClass:
        numbers = sorted((n, c) for (k, n), c in counts.items() if k is kind)
        total = sum(c for _, c in numbers)
        if total:
            found[kind] = WaitFigures(total, _quantile(numbers, 0.5), _quantile(numbers, 0.99))
    return found


def _quantile(numbers: list[tuple[int, int]], share: float) -> float:
    """The wait that this share of the requests did not exceed."""
    left = math.ceil(share * sum(count for _, count in numbers))
    for number, count in numbers:
        left -= count
        if left <= 0:
            return _middle_s(number)
    raise AssertionError("a quantile of nothing")


def _sum(counters: Iterable[Counter[T]]) -> Counter[T]:
    total: Counter[T] = Counter()
    for counter in counters:
        total.update(counter)
    return total


def _highest(peaks: Iterable[dict[str, Peak]]) -> tuple[Peak, ...]:
    best: dict[str, Peak] = {}
    for step in peaks:
        for uuid, peak in step.items():
            if uuid not in best or peak.used_bytes > best[uuid].used_bytes:
                best[uuid] = peak
    return tuple(sorted(best.values(), key=lambda peak: peak.title))
