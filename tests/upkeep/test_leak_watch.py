"""Danzar's processes are followed; one that leaks is told once and started anew when it is idle."""

from dataclasses import dataclass, field

from danzar.broker.leak_watch import LeakWatch
from danzar.broker.pool_worker import WorkerKey
from danzar.core.incident import NONE_OPEN, Change, follow_incidents
from danzar.core.ledger import Ledger
from danzar.core.state import SchedulerRules, State
from danzar.workers.outcomes import WorkerMemory

MB = 1_000_000


@dataclass
class Process:
    memory: WorkerMemory | None = None
    busy_models: frozenset[str] = frozenset()


@dataclass
class Worker:
    pid: int = 77
    key: WorkerKey = field(default_factory=lambda: WorkerKey("torch", "GPU-1"))
    process: Process = field(default_factory=Process)
    models: dict[str, object] = field(default_factory=lambda: {"yolo": None})


class Rig:
    def __init__(self):
        self.worker, self.now_s, self.recycled = Worker(), 0.0, []
        self.open = NONE_OPEN
        self.watch = LeakWatch(
            lambda: (self.worker,),
            lambda: (),
            lambda *what: self.recycled.append((self.now_s, *what)),
            State(Ledger(), SchedulerRules()),
            now_s=lambda: self.now_s,
        )

    def live(self, minutes, leak_mb_per_min):
        """The incidents' changes while a worker leaks so much."""
        changes = []
        begin_s = self.now_s
        held = self.worker.process.memory.rss_bytes if self.worker.process.memory else 500 * MB
        while self.now_s < begin_s + minutes * 60:
            self.now_s += 5
            leaked = leak_mb_per_min * MB * (self.now_s - begin_s) / 60
            self.worker.process.memory = WorkerMemory(round(held + leaked), None)
            self.watch.look()
            self.open, new = follow_incidents(self.open, self.watch.observe(), self.now_s)
            changes += new
        return changes


def test_a_leak_is_told_once_with_its_numbers_and_the_idle_worker_started_anew():
    rig = Rig()
    assert rig.live(12, 0) == []
    (told,) = rig.live(15, 60)
    assert told.change is Change.OPENED
    assert told.incident.key == "leak:torch:GPU-1"
    assert "the worker torch" in told.incident.text
    assert "host RAM" in told.incident.text
    assert "MB a minute" in told.incident.text
    ((at_s, *what),) = rig.recycled
    assert at_s <= (12 + 10) * 60
    assert what[:2] == ["torch", "GPU-1"]


def test_a_busy_worker_that_leaks_is_left_until_it_is_idle():
    rig = Rig()
    rig.worker.process.busy_models = frozenset({"yolo"})
    assert rig.live(20, 60)
    assert rig.recycled == []
    rig.worker.process.busy_models = frozenset()
    rig.live(1, 60)
    assert len(rig.recycled) == 1


def test_the_alert_is_over_when_the_new_process_holds_its_memory():
    rig = Rig()
    rig.live(20, 60)
    rig.worker.pid = 78
    (over,) = rig.live(5, 0)
    assert over.change is Change.CLOSED
    assert "grows no more" in over.incident.text


def test_a_worker_that_leaks_again_is_not_started_anew_all_the_time():
    rig = Rig()
    rig.live(59, 60)
    assert len(rig.recycled) <= 2
