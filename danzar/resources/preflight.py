"""The answer to "may this generation run", and the parameters to run it with. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from danzar.resources.estimate import estimate
from danzar.resources.ladder import Way
from danzar.resources.machine import DeviceRoom
from danzar.resources.optimise import AlreadyFits, Impossible, Optimised, optimise
from danzar.resources.request import Request, split_size
from danzar.resources.requirement import Budget, OptimizationSuggestion, ResourceRequirement
from danzar.resources.subject import Subject
from danzar.resources.words import shortfall_text
from danzar.units import format_size

Verdict = Literal["ready", "changed", "impossible"]


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a generation may do.

    Attributes:
        verdict: ``ready`` as asked, ``changed`` to fit, or ``impossible``.
        params: To run it with; as asked where it is impossible.
        suggestions: What was changed, least loss of quality first.
        requirement: Of ``params``; where it is impossible, of what comes nearest.
        device: ``cuda:N`` or ``cpu``; ``None`` where it is impossible.
        leaving: Idle models, some of which must leave the card first.
        shortfalls: What is missing: bytes by resource, and seconds for ``time``.
        text: All of it in a sentence or two.
    """

    verdict: Verdict
    params: Mapping[str, Any]
    suggestions: tuple[OptimizationSuggestion, ...]
    requirement: ResourceRequirement
    device: str | None
    device_uuid: str | None
    leaving: tuple[str, ...]
    shortfalls: Mapping[str, float]
    text: str

    @property
    def may_run(self) -> bool:
        """Whether it fits, as asked or changed."""
        return self.verdict != "impossible"


@dataclass(frozen=True, slots=True)
class Question:
    """What an answer rests on.

    Attributes:
        card: Where it would go; ``None``: the CPU.
        budget: What it may take; ``None`` where there is no device that it could run on.
    """

    params: Mapping[str, Any]
    request: Request
    subject: Subject
    card: DeviceRoom | None
    budget: Budget | None


def answer(question: Question) -> Preflight:
    """Whether it may run, and how. Pure; may compute for a second."""
    if question.budget is None:
        needs = estimate(question.request, question.subject)
        return _impossible(
            question, Impossible(question.request, needs, {"vram": needs.vram_bytes})
        )
    outcome = optimise(question.request, question.subject, question.budget)
    if isinstance(outcome, Impossible):
        return _impossible(question, outcome)
    return _fitting(question, outcome)


def _fitting(question: Question, outcome: AlreadyFits | Optimised) -> Preflight:
    card, needs = question.card, outcome.needs
    taken = outcome.taken if isinstance(outcome, Optimised) else ()
    suggestions = outcome.suggestions if isinstance(outcome, Optimised) else ()
    room = None if card is None else card.room_bytes
    crowded = room is not None and needs.vram_bytes > room
    leaving = card.idle if card is not None and crowded else ()
    return Preflight(
        verdict="changed" if taken else "ready",
        params=new_params(question.params, taken),
        suggestions=suggestions,
        requirement=needs,
        device="cpu" if card is None else card.label,
        device_uuid="cpu" if card is None else card.uuid,
        leaving=leaving,
        shortfalls={},
        text=_fits_text(needs, card, leaving, changes=len(taken)),
    )


def new_params(params: Mapping[str, Any], taken: tuple[Way, ...]) -> dict[str, Any]:
    """The parameters with the ways in them; all others as they were, under the keys they had."""
    result = dict(params)
    for way in taken:
        if way.parameter == "resolution" and ("width" in params or "height" in params):
            result["width"], result["height"] = split_size(str(way.after))
        else:
            result[way.parameter] = way.after
    return result


def _impossible(question: Question, outcome: Impossible) -> Preflight:
    title = question.subject.profile.title
    if question.budget is None:
        needed = format_size(outcome.needs.vram_bytes)
        text = f"{title} needs a GPU with {needed}; no GPU says what is free"
    else:
        text = (
            f"{title} does not fit, whatever is changed: with the least that it needs, "
            f"{shortfall_text(outcome.shortfalls)} are missing"
        )
    return Preflight(
        verdict="impossible",
        params=question.params,
        suggestions=(),
        requirement=outcome.needs,
        device=None,
        device_uuid=None,
        leaving=(),
        shortfalls=outcome.shortfalls,
        text=text,
    )


def _fits_text(
    needs: ResourceRequirement, card: DeviceRoom | None, leaving: tuple[str, ...], *, changes: int
) -> str:
    if card is None:
        text = f"It runs on the CPU with {format_size(needs.ram_bytes)} of RAM"
    else:
        simulated = " (simulated)" if card.simulated else ""
        text = f"It fits on {card.label}{simulated} with {format_size(needs.vram_bytes)} of VRAM"
    if changes:
        text += f", with {changes} change{'s' if changes > 1 else ''}"
    if leaving:
        text += f"; idle models leave for it ({', '.join(leaving)})"
    return text
