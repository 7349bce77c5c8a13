"""``danzar simulate``: a trace on described devices, in virtual time, with the real planner."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from danzar.broker.decisions import encode
from danzar.commands.described import read_trace, read_world
from danzar.commands.terminal import table
from danzar.core.events import Decided, Effect
from danzar.core.eviction import POLICIES
from danzar.errors import BadInput
from danzar.simulate.figures import Report
from danzar.simulate.regret import Regret, regret_of
from danzar.simulate.simulation import OnEffect, Simulation

Json = dict[str, Any]
_MOST_NOTES = 10


@dataclass(frozen=True, slots=True)
class Simulated:
    """What a trace came to; ``notes`` names the first futile evictions and over-commits."""

    trace: str
    report: Report
    regret: Regret
    notes: tuple[str, ...]


def simulate(
    trace: str, devices: Path, policy: str | None = None, record: Path | None = None
) -> Simulated:
    """Carry out a trace.

    Args:
        trace: A file, or ``MAKER:SEED``.
        devices: The devices file.
        policy: Instead of the one in the devices file.
        record: Where all decisions go, for ``danzar replay``; the file is replaced.

    Raises:
        DanzarError: A file can't be read or is wrong, or there is no such policy.
    """
    world = read_world(devices)
    if policy is not None and policy not in POLICIES:
        raise BadInput(f"no policy is called {policy!r}; there are {', '.join(POLICIES)}")
    world = world if policy is None else world.with_policy(policy)
    lines = read_trace(trace, world)
    with _recording(record) as on_effect:
        simulation = Simulation(world, lines, on_effect)
        report = simulation.run()
    figures = simulation.figures
    notes = (*figures.over_commits, *figures.futile)[:_MOST_NOTES]
    return Simulated(trace, report, regret_of(world, lines, figures), notes)


@contextmanager
def _recording(file: Path | None) -> Iterator[OnEffect | None]:
    """Writes decisions at the seconds of the simulation's clock."""
    if file is None:
        yield None
        return
    try:
        with file.open("wb") as stream:

            def keep(effect: Effect) -> None:
                if isinstance(effect, Decided):
                    stream.write(encode(effect, effect.inputs.now_s))

            yield keep
    except OSError as exc:
        raise BadInput(f"{file}: can't be written: {exc.strerror}") from exc


def simulated_json(result: Simulated) -> Json:
    """As docs/json.md describes it."""
    return {
        "trace": result.trace,
        **msgspec.to_builtins(result.report),
        "regret": msgspec.to_builtins(result.regret),
        "notes": list(result.notes),
    }


def print_simulated(result: Simulated, console: Console) -> None:
    """The figures, as sentences."""
    report, regret = result.report, result.regret
    console.print(f"{result.trace}, policy {report.policy} (simulated)", style="bold")
    console.print(
        f"{report.requests} requests: {report.answered} answered ({report.degraded} worse than "
        f"configured), {report.refused} refused, {report.failed} failed, "
        f"{report.unanswered} unanswered"
    )
    console.print(
        f"{report.loads} loads in {report.load_s:.0f} s, of which {report.reloads} again in "
        f"{report.reload_s:.0f} s; {report.failed_loads} failed"
    )
    console.print(
        f"{report.evictions} evictions, {report.futile_evictions} futile; "
        f"{report.over_commits} over-commits; {report.out_of_memory} out of memory"
    )
    kind = "the optimum" if regret.exact else "at least necessary"
    console.print(
        f"on GPUs {regret.spent_s:.0f} s of loads, {kind} {regret.least_s:.0f} s: regret "
        f"{'' if regret.exact else 'at most '}{regret.regret_s:.0f} s"
    )
    waits = table("waits", "requests", "median", "95 %", "99 %", "longest")
    for purpose, wait in report.waits.items():
        marks = (wait.p50_s, wait.p95_s, wait.p99_s, wait.max_s)
        waits.add_row(purpose, str(wait.requests), *(f"{s:.1f} s" for s in marks))
    console.print(waits)
    classes = table("class", "requests", "refused", "median", "99 %", "longest", "bound", "late")
    for kind, row in report.classes.items():
        times = (row.p50_s, row.p99_s, row.max_s, row.bound_s)
        told = (f"{s:.1f} s" for s in times)
        classes.add_row(kind, str(row.requests), str(row.refused), *told, str(row.late))
    console.print(classes)
    for note in result.notes:
        console.print(f"- {note}", soft_wrap=True)
    console.print(f"{report.virtual_s:.0f} s of virtual time in {report.wall_s:.1f} s", style="dim")
