"""Every file that Danzar writes is known, named once, and documented with its bound."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path, PurePosixPath

import pytest

from danzar.broker import curve_file, decisions, habits, measured, spill_watch
from danzar.commands.backup import databases
from danzar.database import WAL_BOUND_BYTES, Database
from danzar.http import api_keys
from danzar.jobs import store as jobs
from danzar.live import control
from danzar.maintenance.inventory import INVENTORY, OUTSIDE, Kept, kind_of
from danzar.resources import runs
from danzar.store import STORE_FILE
from danzar.workers.spawn import child_environment
from tests.e2e.conftest import running_demo
from tests.monitoring.people import post

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/maintenance.md").read_text()


@pytest.mark.parametrize("kind", [*INVENTORY, *OUTSIDE], ids=lambda kind: kind.pattern)
def test_every_file_is_documented_with_its_bound(kind):
    holds = " ".join(kind.holds.split())
    assert f"| `{kind.pattern}` | {holds} | {kind.bound} |" in PAGE


@pytest.mark.parametrize(
    "name",
    [
        STORE_FILE,
        jobs.JOBS_FILE,
        jobs.LOCK_FILE,
        measured.MEASURED_FILE,
        habits.HABITS_FILE,
        runs.RUNS_FILE,
        api_keys.FILE,
        curve_file.CURVES_FILE,
        spill_watch.SPEEDS_FILE,
        decisions.FILE,
        decisions.OLDER_FILE,
        control.DEMO_FILE,
        "checksums.json",
        "reservations.json",
        "journal.db",
        "keys/ca/ca.key",
        "logs/danzar.1.jsonl",
        "backups/danzar-20260131-040000.zip",
        "danzar.db.corrupt-20260131T180000000000-wal",
    ],
)
def test_the_names_are_those_of_the_parts_that_write_them(name):
    assert kind_of(PurePosixPath(name)) is not None


def test_every_database_that_is_backed_up_is_known_to_a_restore():
    backed_up = {kind.pattern for kind in INVENTORY if kind.kept is Kept.DATABASE}
    assert backed_up == set(databases())


def test_what_danzar_does_not_write_is_not_its_own():
    assert kind_of(PurePosixPath("holiday.jpg")) is None


async def test_a_write_ahead_log_is_cut_after_a_large_write(tmp_path):
    def prepare(path):
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("CREATE TABLE t (x)")

    wal = tmp_path / "a.db-wal"
    async with Database.open(tmp_path / "a.db", "it", prepare) as database:
        async with database.transaction() as connection:
            for _ in range(3):
                await connection.execute("INSERT INTO t VALUES (zeroblob(?))", (WAL_BOUND_BYTES,))
        assert wal.stat().st_size > WAL_BOUND_BYTES
        for _ in range(2):  # the log is cut when it is begun anew
            async with database.transaction() as connection:
                await connection.execute("INSERT INTO t VALUES (1)")
        assert wal.stat().st_size <= WAL_BOUND_BYTES


def test_libraries_in_workers_report_to_nobody():
    env = child_environment({"ORT_DISABLE_TELEMETRY": "0"}, ())
    assert env["ORT_DISABLE_TELEMETRY"] == "1"


@pytest.mark.process
@pytest.mark.model
def test_a_demo_writes_nothing_that_is_not_listed_and_its_log_says_what_was_done(tmp_path):
    data, home, temp = tmp_path / "data", tmp_path / "home", tmp_path / "temp"
    for folder in (home, temp):
        folder.mkdir()
    places = {name: str(home) for name in ("HOME", "USERPROFILE", "APPDATA", "LOCALAPPDATA")} | {
        f"XDG_{name}_HOME": str(home / name) for name in ("CACHE", "CONFIG", "DATA", "STATE")
    }
    with running_demo(data, **places, TMPDIR=str(temp), TEMP=str(temp), TMP=str(temp)) as demo:
        post(demo.url, "general", "@Danzar what is this?", "several-enemies.png")
        line = answered_line(data)
        (own,) = temp.glob("danzar-demo-*")
        live = [*files_of(own), *files_of(data)]
    assert [str(path) for path in live if kind_of(path) is None] == []
    assert {"danzar.db", "jobs.lock", "demo.log", "control-demo.json"} <= {p.name for p in live}
    assert [*files_of(home), *files_of(temp)] == []
    assert {str(path) for path in files_of(data)} == {"demo.log", "logs/demo/danzar.jsonl"}

    # The demo is dead, and its log can still be asked about that one message.
    about = logs(data, "--request", line["request"])
    assert len(about) > 1
    assert {each["request"] for each in about} == {line["request"]}
    assert logs(data, "--level", "info")[-1]["text"] == "danzar run ends"


def answered_line(data):
    """The line that says that the chat model has answered the message."""
    until = time.monotonic() + 240
    while time.monotonic() < until:
        for line in logs(data, "--logger", "danzar.broker.request_log"):
            if "request answered" in line["text"] and "class=chat" in line["text"]:
                assert line["request"].startswith("m-")
                return line
        time.sleep(0.5)
    raise AssertionError("no answer came")


def logs(data, *options):
    """``danzar logs --json``, as another process beside the demo."""
    done = subprocess.run(
        [sys.executable, "-m", "danzar", "logs", "--json", "-n", "1000", *options],
        env={**os.environ, "DANZAR_BOT__DATA_DIR": str(data)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def files_of(folder: Path) -> list[PurePosixPath]:
    return [
        PurePosixPath(path.relative_to(folder).as_posix())
        for path in folder.rglob("*")
        if path.is_file()
    ]
