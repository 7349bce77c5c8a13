"""Jobs on two machines while workers, machines and Redis die: does each end exactly once?

    python -m benchmarks.chaos --jobs 1000 [--seed 1] [--loopback] [--json FILE]

Real Redis with its file (AOF), two real ``danzar node`` in network namespaces of their own (TLS,
ACLs), real models on simulated cards, and a process that accepts the jobs. A worker process is
killed every 5 s; from time to time, a machine, Redis and the accepting process are killed with
SIGKILL and come back. Needs root for the namespaces; without it, both machines are on loopback, and
it says so.
"""

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import psutil
import yaml

from benchmarks.chaos_front import Task
from benchmarks.chaos_ground import MACHINES, Ground, make_ground
from benchmarks.chaos_jobs import REPOSITORY, models
from benchmarks.chaos_report import Report, make_report, print_report

_CARDS = {"pc1": ("NVIDIA GeForce RTX 4070", "12 GiB"), "pc2": ("NVIDIA GeForce RTX 3060", "8 GiB")}
_AWAY_S = 3.0
_LOOK_S = 0.25


@dataclass(frozen=True)
class Plan:
    """How much is asked, of which models (``None``: all), and how often what dies. Seconds.

    Attributes:
        worker_lives_s: A worker is at least so old when it is killed: importing torch takes about
            that long on two cores, and what is always killed before it is loaded ends no job.
    """

    jobs: int = 1000
    kinds: tuple[str, ...] | None = None
    seed: int = 1
    pace_s: float = 0.1
    lease_s: float = 4.0
    worker_every_s: float = 5.0
    worker_lives_s: float = 10.0
    machine_every_s: float = 60.0
    redis_every_s: float = 75.0
    front_every_s: float = 90.0
    limit_s: float = 3000.0
    namespaces: bool = True
    tiny_diffusion: Path | None = None


@dataclass
class Stage:
    """The processes of a run, and what was done to them."""

    plan: Plan
    folder: Path
    ground: Ground
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    killed: Counter[str] = field(default_factory=Counter)
    due_s: dict[str, float] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a process that does not run."""
        inside = self.ground.inside.get(name, [])
        out = (self.folder / f"{name}.log").open("ab")
        self.processes[name] = subprocess.Popen(
            [*inside, *self._command(name)],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=self._environment(name),
            start_new_session=True,
        )
        out.close()
        if name == "redis":
            self.ground.wait_for_redis()

    def kill(self, name: str) -> None:
        """End it at once, as a power cut would; its workers find that out for themselves."""
        process = self.processes.pop(name)
        process.kill()
        process.wait()
        self.killed[name] += 1
        self.due_s[name] = time.monotonic() + _AWAY_S

    def kill_worker(self, chance: random.Random) -> None:
        """End one worker process of a machine."""
        born = time.time() - self.plan.worker_lives_s
        found = [p for name in MACHINES for p in self._workers(name) if _born(p) < born]
        if not found:
            return
        with contextlib.suppress(psutil.Error):
            chance.choice(found).kill()
            self.killed["worker"] += 1

    def bring_back(self) -> None:
        """Start again what was away long enough, or ended by itself."""
        for name, due_s in list(self.due_s.items()):
            if time.monotonic() >= due_s:
                del self.due_s[name]
                self.start(name)
        for name, process in list(self.processes.items()):
            if name != "front" and process.poll() is not None:
                self.killed[f"{name} ended by itself"] += 1
                self.start(name)

    def end(self) -> None:
        """End everything, whole families."""
        for process in self.processes.values():
            for child in _family(process.pid):
                with contextlib.suppress(psutil.Error):
                    child.kill()
            process.wait(10)

    def _workers(self, name: str) -> list[psutil.Process]:
        process = self.processes.get(name)
        found = [] if process is None else _family(process.pid)
        return [p for p in found if _is_worker(p)]

    def _command(self, name: str) -> list[str]:
        if name == "redis":
            return self.ground.start_redis
        if name == "front":
            return [sys.executable, "-m", "benchmarks.chaos_front", str(self.folder / "task.json")]
        queue = self.ground.queue[name]
        keys = ["--keys", queue["keys"]] if "keys" in queue else []
        folder = str(self.folder / name / "config")
        options = ["--queue", queue["url"], *keys, "--name", name, "--config", folder]
        return [sys.executable, "-m", "danzar", "node", *options]

    def _environment(self, name: str) -> dict[str, str]:
        known = {k: v for k, v in os.environ.items() if not k.startswith("DANZAR_")}
        return known | {"DANZAR_BOT__DATA_DIR": str(self.folder / name)}


def run(plan: Plan, told: Callable[[str], None] = print) -> Report:
    """Carry it out in a temporary folder."""
    with (
        tempfile.TemporaryDirectory(prefix="danzar-chaos-") as name,
        make_ground(Path(name), namespaces=plan.namespaces) as ground,
    ):
        folder = Path(name)
        _prepare(plan, folder, ground)
        stage = Stage(plan, folder, ground)
        told(ground.note)
        began_s = time.monotonic()
        try:
            _play(stage, told)
        finally:
            stage.end()
        took_s = time.monotonic() - began_s
        return make_report(folder, plan.jobs, took_s, dict(stage.killed), ground.note)


def _prepare(plan: Plan, folder: Path, ground: Ground) -> None:
    known = models(plan.tiny_diffusion)
    entries = {name: known[name] for name in plan.kinds or known}
    for machine in MACHINES:
        _write_config(plan, folder / machine, machine, entries)
    (folder / "front").mkdir()
    queue = ground.queue["front"]
    task = Task(
        folder=str(folder / "front"),
        url=queue["url"],
        keys=queue.get("keys"),
        jobs=plan.jobs,
        seed=plan.seed,
        pace_s=plan.pace_s,
        lease_s=plan.lease_s,
        kinds=tuple(entries),
    )
    (folder / "task.json").write_bytes(msgspec.json.encode(task))


def _write_config(plan: Plan, root: Path, machine: str, entries: dict[str, Any]) -> None:
    (root / "models").mkdir(parents=True)
    shutil.copy(REPOSITORY / "models" / "yolo-nano.pt", root / "models")
    if plan.tiny_diffusion is not None:
        shutil.copytree(plan.tiny_diffusion, root / "models" / plan.tiny_diffusion.name)
    name, memory = _CARDS[machine]
    nothing = {"chat": None, "detect": None, "rank": None, "read": None}
    media = {"backend": "media", "role": "media"}
    files = {
        "bot_config.yaml": {
            "http": {"enabled": False},
            "jobs": {"lease_s": plan.lease_s, "retry_delay_s": 0.2, "drain_s": 10},
            "node": {"heartbeat_s": 1, "failure_after_s": 4, "head_start_s": 0.5},
        },
        "vision_config.yaml": {"gpu_memory": {"main_llm_memory_reservation_gb": 0}},
        "vram_config.yaml": {
            "telemetry": {
                "mode": "simulated",
                "simulated_cards": [{"name": name, "memory": memory}],
            },
            "workers": {"threads": 1},
        },
        "models.yaml": {"use": nothing | {"media": "media"}, "models": {**entries, "media": media}},
    }
    (root / "config").mkdir()
    for file, content in files.items():
        (root / "config" / file).write_text(yaml.safe_dump(content), encoding="utf-8")


def _play(stage: Stage, told: Callable[[str], None]) -> None:
    plan, chance = stage.plan, random.Random(stage.plan.seed)
    for name in ("redis", *MACHINES, "front"):
        stage.start(name)
    began_s = time.monotonic()
    every = {
        "worker": plan.worker_every_s,
        "machine": plan.machine_every_s,
        "redis": plan.redis_every_s,
        "front": plan.front_every_s,
    }
    next_s = {what: began_s + after_s for what, after_s in every.items()}
    turn = 0
    while not _is_over(stage):
        now_s = time.monotonic()
        if now_s - began_s > plan.limit_s:
            told(f"not over after {plan.limit_s:.0f} s")
            return
        stage.bring_back()
        for what in [what for what, due_s in next_s.items() if now_s >= due_s]:
            next_s[what] += every[what]
            victim = MACHINES[turn % len(MACHINES)] if what == "machine" else what
            turn += what == "machine"
            if what == "worker":
                stage.kill_worker(chance)
            elif victim in stage.processes:
                stage.kill(victim)
        time.sleep(_LOOK_S)


def _is_over(stage: Stage) -> bool:
    front = stage.processes.get("front")
    if front is None or front.poll() is None:
        return False
    if front.returncode == 0:
        return True
    text = (stage.folder / "front.log").read_text(errors="replace")[-3000:]
    raise RuntimeError(f"the accepting process failed:\n{text}")


def _family(pid: int) -> list[psutil.Process]:
    try:
        first = psutil.Process(pid)
        return [*first.children(recursive=True), first]
    except psutil.Error:
        return []


def _is_worker(process: psutil.Process) -> bool:
    try:
        return any("danzar.workers" in word for word in process.cmdline())
    except psutil.Error:
        return False


def _born(process: psutil.Process) -> float:
    try:
        return float(process.create_time())
    except psutil.Error:
        return time.time()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loopback", action="store_true", help="no network namespaces")
    parser.add_argument("--tiny-sd", type=Path, help="a folder with a small diffusion pipeline")
    parser.add_argument("--worker-lives-s", type=float, default=Plan.worker_lives_s)
    parser.add_argument("--machine-every-s", type=float, default=Plan.machine_every_s)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # what was started ends with it
    plan = Plan(
        asked.jobs,
        seed=asked.seed,
        worker_lives_s=asked.worker_lives_s,
        machine_every_s=asked.machine_every_s,
        namespaces=not asked.loopback,
        tiny_diffusion=asked.tiny_sd,
    )
    report = run(plan)
    print_report(report)
    if asked.json:
        asked.json.write_text(json.dumps(msgspec.to_builtins(report), indent=2))
    return 0 if report.faultless else 1


if __name__ == "__main__":
    sys.exit(main())
