"""What became of every job of the chaos, counted from what lies on the disk."""

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.chaos_front import read_lines


class Report(msgspec.Struct, frozen=True):
    """The account of one run.

    Attributes:
        accepted: Jobs whose acceptance the caller was told.
        rows: Jobs that were written down as accepted: besides those, the ones at which a kill
            came between the acceptance and its telling.
        lost: Jobs without an end. ``twice``: jobs whose end was told or written more than once in
            another way. Both must be empty.
        silent: Jobs that failed or were cancelled without a reason. Must be empty.
        attempts: How many jobs were started how often.
    """

    note: str
    jobs: int
    took_s: float
    killed: dict[str, int]
    accepted: int
    rows: int
    states: dict[str, int]
    lost: tuple[str, ...]
    twice: tuple[str, ...]
    silent: tuple[str, ...]
    attempts: dict[int, int]
    nodes: dict[str, int]
    reasons: dict[str, int]

    @property
    def faultless(self) -> bool:
        """Whether every accepted job ended exactly once, and says how."""
        return self.accepted == self.jobs and not (self.lost or self.twice or self.silent)


def make_report(
    folder: Path, jobs: int, took_s: float, killed: dict[str, int], note: str
) -> Report:
    """Count."""
    front = folder / "front"
    accepted = [line["job_id"] for line in read_lines(front / "accepted.jsonl")]
    heard = [line for line in read_lines(front / "heard.jsonl") if line["job_id"]]
    with closing(sqlite3.connect(front / "jobs.db")) as database:
        rows = dict(database.execute("SELECT job_id, ended_at FROM jobs").fetchall())
        written = database.execute("SELECT DISTINCT job_id, ended_at FROM chaos_ends").fetchall()
    last = {line["job_id"]: line for line in heard}
    return Report(
        note=note,
        jobs=jobs,
        took_s=took_s,
        killed=killed,
        accepted=len(accepted),
        rows=len(rows),
        states=dict(Counter(line["state"] for line in last.values())),
        lost=tuple(sorted(_lost(accepted, rows, last))),
        twice=tuple(sorted(_twice(heard) | _more_than_once(job_id for job_id, _ in written))),
        silent=tuple(sorted(_silent(last))),
        attempts=dict(sorted(Counter(line["attempt"] for line in last.values()).items())),
        nodes=dict(Counter(str(line["node"]) for line in last.values())),
        reasons=dict(Counter(_kind(line["error"]) for line in last.values() if line["error"])),
    )


def print_report(report: Report) -> None:
    """For the terminal."""
    print(f"{report.note}; {report.jobs} jobs in {report.took_s:.0f} s")
    print("killed: " + ", ".join(f"{name} {count}x" for name, count in report.killed.items()))
    print(f"accepted {report.accepted} (written down {report.rows}); ended: {report.states}")
    print(f"run by {report.nodes}; started how often: {report.attempts}")
    for reason, count in sorted(report.reasons.items(), key=lambda item: -item[1]):
        print(f"  {count}x {reason}")
    for name in ("lost", "twice", "silent"):
        found: tuple[str, ...] = getattr(report, name)
        print(f"{name}: {len(found)} {' '.join(found[:5])}")
    print("FAULTLESS" if report.faultless else "NOT FAULTLESS")


def _lost(accepted: list[str], rows: dict[str, Any], last: dict[str, Any]) -> set[str]:
    unheard = {job_id for job_id in accepted if job_id not in last}
    unended = {job_id for job_id, ended_at in rows.items() if ended_at is None}
    return unheard | unended | (set(accepted) - rows.keys())


def _twice(heard: list[dict[str, Any]]) -> set[str]:
    """Jobs of which two ends were told that differ; the same one is told again after a restart."""
    ends: dict[str, set[tuple[Any, ...]]] = {}
    for line in heard:
        ends.setdefault(line["job_id"], set()).add((line["state"], line["error"], line["digest"]))
    return {job_id for job_id, found in ends.items() if len(found) > 1}


def _more_than_once(job_ids: Any) -> set[str]:
    return {job_id for job_id, count in Counter(job_ids).items() if count > 1}


def _silent(last: dict[str, Any]) -> set[str]:
    return {
        job_id
        for job_id, line in last.items()
        if (line["state"] != "completed" and not line["error"])
        or (line["state"] == "completed" and len(line["digest"] or "") != 64)
    }


def _kind(reason: str) -> str:
    """A reason without its numbers."""
    return "".join("#" if c.isdigit() else c for c in reason)[:100]
