"""The sentences in docs/vram.md are what the planner really says."""

import re
from pathlib import Path

import pytest

from danzar.core.events import JobSubmitted, SnapshotsTaken, StartLoad
from danzar.core.model import Job
from danzar.core.scheduler import Scheduler
from danzar.simulate.files import parse_world
from danzar.simulate.world import snapshot_of

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/vram.md").read_text()
EXAMPLE = (ROOT / "config/examples/ladder.yaml").read_text()
ROW = re.compile(
    r"^\| ([\d.]+) and ([\d.]+)(?: GiB)?(, and the RAM is full)? \| .+ \| (.+) \|$", re.MULTILINE
)


def world(first_gib: str, second_gib: str, host_gib: str):
    text = EXAMPLE.replace(
        "memory: 12 GiB, foreign: 1 GiB", f"memory: 12 GiB, foreign: {first_gib} GiB"
    )
    text = text.replace(
        "memory: 8 GiB, foreign: 3 GiB", f"memory: 8 GiB, foreign: {second_gib} GiB"
    )
    return parse_world(
        text.replace("memory: 32 GiB, foreign: 12 GiB", f"memory: 32 GiB, foreign: {host_gib} GiB"),
        "ladder.yaml",
    )


@pytest.mark.parametrize("row", ROW.findall(PAGE), ids=lambda row: f"{row[0]}+{row[1]}")
def test_what_the_page_says_of_a_rung_is_what_happens(row):
    first_gib, second_gib, ram_is_full, told = row
    described = world(first_gib, second_gib, "30" if ram_is_full else "12")
    models = [m.facts for m in described.models.values()]
    scheduler = Scheduler(models, described.ledger(), described.rules)
    devices = tuple(snapshot_of(d, (), d.foreign_bytes, 0) for d in described.devices)
    scheduler.handle(SnapshotsTaken(devices), 0)
    effects = scheduler.handle(JobSubmitted(Job(1, "chat", 0)), 5)
    load = next(e for e in effects if isinstance(e, StartLoad))
    waiting = scheduler.instances[load.model].queue.jobs()[0]
    assert (waiting.note or load.placed.degraded or "nothing") == told


def test_the_page_has_every_rung():
    assert len(ROW.findall(PAGE)) == 10
