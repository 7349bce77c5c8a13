"""A soak of a minute: the real demo under every kind of load, ended early by a signal."""

import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from benchmarks.soak_analysis import Verdict
from benchmarks.soak_report import print_report, read

pytestmark = [pytest.mark.process, pytest.mark.model, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
PATIENCE_S = 240
HEAP_BYTES = 64 * 1024**2
WANTED = {
    ("chat", "answered"),
    ("picture", "answered"),
    ("command", "answered"),
    ("job", "completed"),
    ("completion", "answered"),
}


@pytest.mark.skipif(sys.platform == "win32", reason="ended by SIGTERM")
def test_a_soak_asks_samples_and_ends_early_with_nothing_lost(tmp_path):
    folder = tmp_path / "soak"
    command = [sys.executable, "-m", "benchmarks.soak", "--out", str(folder), "--no-fill"]
    process = subprocess.Popen(
        [*command, "--rate", "10", "--every", "2s", "--warm-up", "0"], cwd=ROOT
    )
    try:
        wait_for_outcomes(process, folder)
        family = psutil.Process(process.pid).children(recursive=True)
        assert [p.cmdline() for p in family if further_heaps(p.pid)] == []
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    finally:
        end(process)
    assert not [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert "lost" not in {act["outcome"] for act in read(folder, "acts.jsonl")}
    processes = [p for s in read(folder, "samples.jsonl") for p in s["processes"]]
    assert {p["role"].split()[0] for p in processes} >= {"demo", "local", "bot", "worker"}
    assert {p["role"].split(":")[0] for p in processes if "cached" in p} == {"worker llama"}
    audit = read(folder, "end.jsonl")[-1]["audit"]
    assert audit["ended"] >= 1
    assert (audit["open"], audit["changed"]) == ([], [])
    verdicts = print_report(folder)
    assert verdicts["nothing is lost"] is Verdict.MET
    assert verdicts["memory is flat"] is Verdict.OPEN


def wait_for_outcomes(process, folder):
    until = time.monotonic() + PATIENCE_S
    while not outcomes(folder) >= WANTED:
        assert process.poll() is None, "the soak ended by itself"
        assert time.monotonic() < until, outcomes(folder)
        time.sleep(0.5)


def outcomes(folder):
    return {(act["act"], act["outcome"]) for act in read(folder, "acts.jsonl")}


def further_heaps(pid):
    """What glibc mapped at multiples of 64 MiB for threads that don't use the process's one heap.

    Each is 64 MiB of addresses, of which the first part is in use.
    """
    maps = Path(f"/proc/{pid}/maps")
    rows = [line.split()[:2] for line in maps.read_text().splitlines()] if maps.exists() else []
    spans = [(*(int(end, 16) for end in ends.split("-")), rights) for ends, rights in rows]
    return [
        begin
        for (begin, end, rights), (after, last, closed) in pairwise(spans)
        if begin % HEAP_BYTES == 0
        and (end, last) == (after, begin + HEAP_BYTES)
        and (rights[:2], closed[:2]) == ("rw", "--")
    ]


def end(process):
    if process.poll() is not None:
        return
    family = psutil.Process(process.pid).children(recursive=True)
    for member in (*family, process):
        member.kill()
    process.wait()
