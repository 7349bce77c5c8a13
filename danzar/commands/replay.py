"""``danzar replay``: whether the planner says again what it said when it was recorded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.broker.decisions import Recorded, kind_of, read_decisions
from danzar.core.placement import plan_placement

_MOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Difference:
    """A decision that is another one now."""

    line: int
    model: str
    was: str
    now: str


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a file of decisions came to; ``differences`` has the first ones only."""

    decisions: int
    same: int
    differences: tuple[Difference, ...]


def replay(path: Path) -> Replayed:
    """Decide everything in the file again.

    Raises:
        BadInput: The file or a line of it can't be read; names the line.
    """
    total = same = 0
    differences: list[Difference] = []
    for number, recorded in read_decisions(path):
        total += 1
        difference = _compare(number, recorded)
        same += difference is None
        if difference is not None and len(differences) < _MOST_SHOWN:
            differences.append(difference)
    return Replayed(total, same, tuple(differences))


def replayed_json(result: Replayed) -> dict[str, Any]:
    """As docs/json.md describes it."""
    return {
        "decisions": result.decisions,
        "same": result.same,
        "differences": [
            {"line": d.line, "model": d.model, "was": d.was, "now": d.now}
            for d in result.differences
        ],
    }


def print_replayed(result: Replayed, console: Console) -> None:
    """How many agree, then what differs."""
    console.print(f"{result.same} of {result.decisions} decisions are made again as they were.")
    for d in result.differences:
        console.print(f"line {d.line}, {d.model}:", style="bold")
        console.print(f"  was {d.was}")
        console.print(f"  now {d.now}")
    more = result.decisions - result.same - len(result.differences)
    if more > 0:
        console.print(f"and {more} more")


def _compare(number: int, recorded: Recorded) -> Difference | None:
    plan = plan_placement(recorded.inputs)
    if plan == recorded.plan:
        return None
    was, now = (f"{kind_of(p)}: {p.reason}" for p in (recorded.plan, plan))
    if was == now:
        was, now = repr(recorded.plan), repr(plan)
    return Difference(number, recorded.inputs.demand.model, was, now)
