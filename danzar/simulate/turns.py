"""Persons' questions that take several models, one stage after the other."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True, eq=False)
class RunningTurn:
    """One question and where it stands.

    Attributes:
        stage: Which stage runs.
        left: Answers that it still waits for.
        starting: Models of the last stage that have not begun.
    """

    at_s: float
    stages: tuple[tuple[str, ...], ...]
    stage: int = 0
    left: int = 0
    starting: int = 0

    @property
    def is_last(self) -> bool:
        """Whether the stage that runs is what the person sees."""
        return self.stage == len(self.stages) - 1


def begin_stage(turn: RunningTurn, ask: Callable[[str], None]) -> None:
    """Ask all models of the stage."""
    models = turn.stages[turn.stage]
    turn.left = turn.starting = len(models)
    for model in models:
        ask(model)


def answered(turn: RunningTurn, ask: Callable[[str], None]) -> None:
    """One model has answered; the next stage begins when all have."""
    turn.left -= 1
    if turn.left == 0 and not turn.is_last:
        turn.stage += 1
        begin_stage(turn, ask)


def has_begun(turn: RunningTurn) -> bool:
    """One model began to answer; whether that completes what the person waits for."""
    turn.starting -= 1
    return turn.is_last and turn.starting == 0
