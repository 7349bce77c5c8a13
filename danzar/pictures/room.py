"""What to do where a card has less room than a request needs: run, ask first, or refuse. Pure.

Changes that nobody sees (keeping a network in RAM, decoding in tiles, 8-bit weights) are made and
told. Those that a viewer would notice are never made in silence: the person is asked.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from danzar.inference import Outcome
from danzar.pictures.limits import PictureRequest
from danzar.resources.requirement import OptimizationSuggestion

# Loss in points up to which a change is hardly visible (danzar.resources.ladder).
UNSEEN_LOSS = 1


class Plan(Protocol):
    """The answer of a preflight, as ``danzar.resources.generations`` gives it."""

    @property
    def verdict(self) -> str:
        """``ready``, ``changed``, ``impossible``, or ``unknown``: the planner decides alone."""
        ...

    @property
    def request(self) -> PictureRequest:
        """What may run; as asked where nothing had to change."""
        ...

    @property
    def suggestions(self) -> Sequence[OptimizationSuggestion]:
        """What was changed, least loss of quality first."""
        ...

    @property
    def text(self) -> str:
        """All of it in a sentence or two."""
        ...


Preflight = Callable[[str, PictureRequest], Awaitable[Plan]]
Record = Callable[[Plan, Outcome], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Run:
    """It may run.

    Attributes:
        notes: What was changed, one sentence each.
        plan: What the answer rests on, for what is learned from the run; ``None``: nothing.
        elsewhere: The model of another machine that makes it; ``None``: this machine does.
    """

    request: PictureRequest
    notes: tuple[str, ...] = ()
    plan: Plan | None = None
    elsewhere: str | None = None


@dataclass(frozen=True, slots=True)
class Smaller:
    """It would run with a loss that shows: ask first.

    Attributes:
        run: What would be run.
        lines: Each change, with what is lost and why.
        for_now: Whether waiting may help; else the model is not configured for more.
    """

    run: Run
    lines: tuple[str, ...]
    for_now: bool = True


@dataclass(frozen=True, slots=True)
class NoRoom:
    """Nothing makes it fit as things stand."""

    text: str


Decision = Run | Smaller | NoRoom


def decide(plan: Plan, asked: PictureRequest, *, is_within_model: bool = True) -> Decision:
    """What a preflight means for the person who asked.

    Args:
        plan: The preflight's answer.
        asked: The request.
        is_within_model: Whether the model is configured for as much as was asked.
    """
    if plan.verdict == "impossible":
        return NoRoom(plan.text)
    if plan.verdict != "changed":
        return Run(asked, plan=plan)
    lines = tuple(change_line(change) for change in plan.suggestions)
    run = Run(plan.request, lines, plan)
    seen = any(change.rank > UNSEEN_LOSS for change in plan.suggestions)
    return Smaller(run, lines, for_now=is_within_model) if seen else run


def change_line(change: OptimizationSuggestion) -> str:
    """``resolution 1024x1024 → 512x512 (slight): without it 9.0 GiB are needed, ...``."""
    return (
        f"{change.parameter.replace('_', ' ')} {_word(change.current_value)} → "
        f"{_word(change.suggested_value)} (loss: {change.quality_impact}): {change.reason}"
    )


def _word(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return str(value)
