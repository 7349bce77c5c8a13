"""The least change that makes a generation fit. Pure.

Every set of ways is weighed by its loss of quality first and its order second, and the first one
that fits is taken. From that follows, whatever the figures are:

- nothing is touched that fits as it was asked;
- no lossy change is made where lossless ones would do;
- none of the changes can be left out: without it the set would have come earlier;
- more room never costs more quality;
- the same question has the same answer, and asking about the answer changes nothing.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from danzar.resources.estimate import estimate
from danzar.resources.ladder import Way, impact, ways
from danzar.resources.request import Request
from danzar.resources.requirement import Budget, OptimizationSuggestion, ResourceRequirement
from danzar.resources.subject import Subject
from danzar.resources.words import KINDS, amount


@dataclass(frozen=True, slots=True)
class AlreadyFits:
    """Nothing needs to change."""

    request: Request
    needs: ResourceRequirement


@dataclass(frozen=True, slots=True)
class Optimised:
    """It fits with these changes, those of least loss first."""

    request: Request
    needs: ResourceRequirement
    taken: tuple[Way, ...]
    suggestions: tuple[OptimizationSuggestion, ...]


@dataclass(frozen=True, slots=True)
class Impossible:
    """It does not fit whatever is changed.

    Attributes:
        request: What comes nearest.
        needs: Of that.
        shortfalls: What is missing even then, by resource: bytes, and seconds for ``time``.
    """

    request: Request
    needs: ResourceRequirement
    shortfalls: Mapping[str, float]


Outcome = AlreadyFits | Optimised | Impossible


def optimise(request: Request, subject: Subject, budget: Budget) -> Outcome:
    """The request with the least change that fits the budget."""
    needs = estimate(request, subject)
    if not budget.shortfalls(needs):
        return AlreadyFits(request, needs)
    timed = budget.time_s is not None and subject.speed.tflops is not None
    axes = ways(request, subject.profile, on_card=subject.on_card, timed=timed)
    nearest: tuple[float, Request] | None = None
    for taken in _sets(axes):
        changed = _apply(request, taken)
        short = budget.shortfalls(estimate(changed, subject))
        if not short:
            return _optimised(request, subject, budget, taken)
        missing = _missing(short, budget)
        if nearest is None or missing < nearest[0]:
            nearest = (missing, changed)
    closest = nearest[1] if nearest is not None else request
    final = estimate(closest, subject)
    return Impossible(closest, final, budget.shortfalls(final))


def _sets(axes: Sequence[Sequence[Way]]) -> Iterator[tuple[Way, ...]]:
    """Every set of ways, at most one of each parameter, those that cost least first."""
    choices = itertools.product(*[(None, *axis) for axis in axes])
    sets = [tuple(way for way in choice if way is not None) for choice in choices]
    return iter(sorted(sets, key=_cost))


def _cost(taken: tuple[Way, ...]) -> tuple[int, int, int]:
    """Loss of quality first, then what the changes cost otherwise, then their number.

    Every way costs something, so that a set costs more than any part of it.
    """
    return sum(w.loss for w in taken), sum(w.order for w in taken), len(taken)


def _apply(request: Request, taken: Sequence[Way]) -> Request:
    for way in taken:
        request = way.applied(request)
    return request


def _missing(short: Mapping[str, float], budget: Budget) -> float:
    """How far from fitting, as the sum of shares of what is there."""
    there = {
        "vram": budget.vram_bytes,
        "ram": budget.ram_bytes,
        "disk": budget.disk_bytes,
        "time": budget.time_s,
    }
    return sum(missing / max(1.0, there[kind] or 0.0) for kind, missing in short.items())


def _optimised(
    request: Request, subject: Subject, budget: Budget, taken: tuple[Way, ...]
) -> Optimised:
    ordered = tuple(sorted(taken, key=lambda way: (way.loss, way.order, way.parameter)))
    final = _apply(request, ordered)
    suggestions = []
    for place, way in enumerate(ordered):
        before = estimate(_apply(request, ordered[:place]), subject)
        after = estimate(_apply(request, ordered[: place + 1]), subject)
        without = estimate(_apply(request, [w for w in ordered if w is not way]), subject)
        reason = _reason(way, budget, without)
        suggestions.append(_suggestion(way, reason, _saved(before, after)))
    return Optimised(final, estimate(final, subject), ordered, tuple(suggestions))


def _reason(way: Way, budget: Budget, without: ResourceRequirement) -> str:
    """Why just this change is needed: what would be missing with all the others made."""
    short = budget.shortfalls(without)
    needs = {
        "vram": (without.vram_bytes, budget.vram_bytes, budget.device),
        "ram": (without.ram_bytes, budget.ram_bytes, "the host's RAM"),
        "disk": (without.disk_bytes, budget.disk_bytes, "the disk"),
        "time": (without.estimated_time_seconds, budget.time_s, "the limit"),
    }
    for kind in short:
        needed, there, where = needs[kind]
        room = f"{where} has room for {amount(kind, there or 0)}"
        if kind == "time":
            room = f"{where} is {amount(kind, there or 0)}"
        return f"without it {amount(kind, needed or 0)} are needed, and {room}; {way.why}"
    return way.why


def _saved(before: ResourceRequirement, after: ResourceRequirement) -> dict[str, float]:
    saved: dict[str, float] = {
        "vram": before.vram_bytes - after.vram_bytes,
        "ram": before.ram_bytes - after.ram_bytes,
        "disk": before.disk_bytes - after.disk_bytes,
    }
    if before.estimated_time_seconds is not None and after.estimated_time_seconds is not None:
        saved["time"] = before.estimated_time_seconds - after.estimated_time_seconds
    return {kind: value for kind, value in saved.items() if value}


def _suggestion(way: Way, reason: str, saved: Mapping[str, float]) -> OptimizationSuggestion:
    told = [
        f"{amount(kind, abs(value))} {'less' if value > 0 else 'more'} {KINDS[kind]}"
        for kind, value in saved.items()
        if kind != "disk"
    ]
    return OptimizationSuggestion(
        parameter=way.parameter,
        current_value=way.before,
        suggested_value=way.after,
        reason=reason,
        effect=", ".join(told) or "nothing by itself; it lets the others count",
        quality_impact=impact(way.loss),
        rank=way.loss,
        saved=saved,
    )
