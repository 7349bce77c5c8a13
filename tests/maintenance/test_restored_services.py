"""Backup of a bot that works as hard as it can, restored elsewhere: nothing is lost or doubled."""

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from danzar.broker.measured import MEASURED_FILE, MeasuredKey, Measurements
from danzar.commands.backup import back_up, is_in_use, put_back
from danzar.config.load import load_config
from danzar.http.api_keys import FILE, ApiKeys, KeyLimits
from danzar.jobs.contract import JobState
from danzar.maintenance.errors import CannotRestore
from danzar.services import open_services
from danzar.units import GIB

pytestmark = pytest.mark.process
ROOT = Path(__file__).parents[2]
KEY = MeasuredKey("llama", "0123", "n_ctx=4096", "RTX 3060")
ENOUGH_TURNS, ENOUGH_JOBS = 20, 8
EVERY_TURN = 10_000


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Settings with a slow model and a limit on a card, and what was learned before."""
    for name in [name for name in os.environ if name.startswith("DANZAR_")]:
        monkeypatch.delenv(name)
    files = {
        "bot_config.yaml": {
            "data_dir": "data",
            "chat": {"keep_messages": 1_000_000},
            "jobs": {"drain_s": 0},
        },
        "vram_config.yaml": {
            "telemetry": {
                "mode": "simulated",
                "simulated_cards": [{"name": "RTX 3060", "memory": "8 GiB"}],
            },
            "devices": {"cuda:0": {"limit": "6 GiB"}},
        },
        "models.yaml": {
            "use": dict.fromkeys(("chat", "detect", "rank", "read")) | {"media": "media"},
            "models": {
                "echo": {"backend": "echo", "role": "chat", "settings": {"word_s": 0.04}},
                "media": {"backend": "media", "role": "media"},
            },
        },
    }
    folder = tmp_path / "home" / "config"
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_text(yaml.safe_dump(content))
    asyncio.run(learn(tmp_path / "home" / "data"))
    return folder


async def learn(data: Path) -> None:
    async with Measurements.open(data / MEASURED_FILE) as measured:
        await measured.record(KEY, 5 * GIB, 6 * GIB, 1.0)
    async with ApiKeys.open(data / FILE) as keys:
        await keys.add("phone", KeyLimits(jobs=3))


class Acknowledged:
    """What the bot said is done."""

    def __init__(self) -> None:
        self.turns = 0
        self.jobs: list[str] = []

    def follow(self, stream) -> None:
        for line in stream:
            kind, value = line.split()
            if kind == "turn":
                self.turns = int(value)
            else:
                self.jobs.append(value)


@contextmanager
def loaded_bot(folder):
    """The services in a process of their own, working, until they are killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.maintenance.loaded_bot", str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    done = Acknowledged()
    reader = threading.Thread(target=done.follow, args=(process.stdout,))
    reader.start()
    try:
        while done.turns < ENOUGH_TURNS or len(done.jobs) < ENOUGH_JOBS:
            assert process.poll() is None
        yield done
    finally:
        process.kill()
        process.wait()
        reader.join()
        process.stdout.close()


async def test_history_ledger_and_jobs_are_the_same_elsewhere(home, tmp_path):
    config, archive = load_config(home), tmp_path / "backup.zip"
    with loaded_bot(home) as done:
        turns, jobs = done.turns, list(done.jobs)
        assert await asyncio.to_thread(is_in_use, home.parent / "data")
        await asyncio.to_thread(back_up, config, archive, with_keys=False)
        with pytest.raises(CannotRestore, match="stop it first"):
            await asyncio.to_thread(put_back, archive, home, None, force=True, with_config=False)
        turns_after, jobs_after = done.turns, list(done.jobs)
    assert turns_after > turns
    place, _ = await asyncio.to_thread(
        put_back, archive, None, tmp_path / "new", force=False, with_config=True
    )
    restored = load_config(place.config)
    assert restored.root == tmp_path / "new"

    async with open_services(restored) as services:
        await history_is_whole(services.store, turns, turns_after)
        the_ledger_is_the_same(services)
        await jobs_are_done_once(services.jobs, jobs, jobs_after)
    await what_was_learned_is_there(place.data)


async def history_is_whole(store, turns, turns_after) -> None:
    history = await store.history(1, before_turn=10**9, limit=EVERY_TURN)
    found = [message.turn_id for message in history]
    # Both sides of each turn; all that were acknowledged before; none in between is missing.
    assert found == [n for n in range(1, len(found) // 2 + 1) for _ in range(2)]
    assert turns <= len(found) // 2 <= turns_after + 1
    audit = await store.recent_audit(EVERY_TURN)
    assert len([line for line in audit if line.action == "test.turn"]) >= turns
    assert audit[0].action == "restore"


def the_ledger_is_the_same(services) -> None:
    book = services.manager.scheduler.ledger.book
    (asked,) = services.reservations.asked
    assert (asked.purpose, asked.size_bytes, asked.actor) == ("games", 2 * GIB, "ann (1)")
    assert asked.reservation in book.reservations
    assert [limit.size_bytes for limit in book.limits] == [6 * GIB]


async def jobs_are_done_once(jobs, before, after) -> None:
    async with asyncio.timeout(120):
        while await jobs.unfinished(None):
            await asyncio.sleep(0.05)
    assert {(await jobs.view(job_id)).state for job_id in before} == {JobState.COMPLETED}
    ids = [view.job_id for view in await jobs.recent(1000)]
    # What was accepted while the backup was made is in it or not, but never twice. The one that
    # was just being acknowledged may be unknown to us.
    assert set(before) <= set(ids)
    assert len(set(ids) - set(after)) <= 1
    assert len(ids) == len(set(ids))


async def what_was_learned_is_there(data) -> None:
    async with Measurements.open(data / MEASURED_FILE) as measured:
        (row,) = await measured.for_file("llama", "0123", "RTX 3060")
        assert row.measured_bytes == 6 * GIB
    async with ApiKeys.open(data / FILE) as keys:
        (key,) = await keys.all()
        assert (key.name, key.limits.jobs) == ("phone", 3)
