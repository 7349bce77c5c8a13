"""Whoever can write to the queue still can't run code on the machines that read it."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import docket
import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.keys.plain_arguments import MAX_ARGUMENT_BYTES, NotPlain, RemoteError, dumps, loads

ROOT = Path(__file__).resolve().parents[2]
VICTIM = Path(__file__).with_name("docket_victim.py")
ATTACKS = {"in_the_stream", "in_a_strike", "in_a_run", "in_a_result"}

PLAIN = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text()


@given(st.lists(PLAIN).map(tuple) | st.dictionaries(st.text(), PLAIN) | PLAIN)
def test_plain_values_come_back_as_they_went(value):
    if isinstance(value, dict) and value.keys() == {"danzar-error"}:
        return
    assert loads(dumps(value)) == value


@given(st.binary(max_size=200) | st.lists(PLAIN).map(pickle.dumps))
def test_anything_else_that_stands_there_is_refused_or_plain(data):
    try:
        value = loads(data)
    except NotPlain:
        return
    assert isinstance(value, str | int | float | bool | None | tuple | dict)


@pytest.mark.parametrize(
    "value", [object(), (object(),), (("nested",),), {"a": ["b"]}, b"bytes", ("x" * 70_000,)]
)
def test_nothing_else_is_written(value):
    with pytest.raises(NotPlain):
        dumps(value)


def test_large_or_deep_text_is_not_even_looked_at():
    for data in (b"1" * (MAX_ARGUMENT_BYTES + 1), b"[" * MAX_ARGUMENT_BYTES):
        with pytest.raises(NotPlain):
            loads(data)


def test_an_error_travels_as_its_text():
    error = loads(dumps(ValueError("no room")))
    assert isinstance(error, RemoteError)
    assert str(error) == "ValueError: no room"


def run_victim(url, folder, way):
    command = [sys.executable, str(VICTIM), url, str(folder), way]
    done = subprocess.run(
        command, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True, timeout=120
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    return json.loads(done.stdout)


@pytest.mark.redis
def test_docket_as_it_comes_runs_what_an_attacker_wrote(plain_redis, tmp_path):
    ran = run_victim(plain_redis.url, tmp_path, "pickled")
    assert ran == dict.fromkeys(ATTACKS, True)


@pytest.mark.redis
def test_docket_as_we_use_it_does_not(plain_redis, tmp_path):
    ran = run_victim(plain_redis.url, tmp_path, "plain")
    assert ran == dict.fromkeys(ATTACKS, False)


def test_docket_reads_pickles_by_the_one_name_that_we_replace():
    """If this fails after an update of docket, read how it stores things before trusting it."""
    users = {}
    for file in Path(docket.__file__).parent.rglob("*.py"):
        lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
        calls = [
            line for line in lines if "pickle" in line and ("load" in line or "import" in line)
        ]
        if calls:
            users[file.name] = sorted({call.split("(")[0].split(" = ")[-1] for call in calls})
    assert set(users) == {"worker.py", "execution.py", "strikelist.py", "docket.py"}
    allowed = {"import cloudpickle", "cloudpickle.loads", "return cloudpickle.loads"}
    names = {
        name.removeprefix("args=").removeprefix("kwargs=") for n in users.values() for name in n
    }
    assert names <= allowed
