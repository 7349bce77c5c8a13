"""What other programs held before a load is not mistaken for growth after it."""

from dataclasses import replace

from danzar.core.events import (
    JobEnded,
    JobSubmitted,
    LoadFinished,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
)
from danzar.core.model import Job
from danzar.core.pressure import PressureRules
from danzar.core.state import YieldRules
from danzar.units import GIB
from tests.core.worlds import gpu, host, make_scheduler, model

FOREIGN_GIB = 0.5
RULES = YieldRules(PressureRules(75, 70, 0, critical_pct=85, oom_pct=95, hold_s=1.0))


class Card:
    """One 12 GiB card on which others hold half a GiB, always.

    A process that ends is gone from the driver's figures before its unload is reported.
    """

    def __init__(self, *models) -> None:
        self.scheduler = make_scheduler(*models, yields=RULES, keep_alive_s=1e9)
        self.held: dict[str, int] = {}
        self.now_s = 100.0
        self.jobs = 0
        self.sample()

    def snapshots(self):
        free_gib = 12 - FOREIGN_GIB - sum(self.held.values()) / GIB
        return (replace(gpu(0, free_gib), processes=()), host(16))

    def sample(self) -> None:
        self.now_s += 1
        self.tell(SnapshotsTaken(self.snapshots()))
        self.tell(Tick())

    def tell(self, event) -> None:
        for effect in self.scheduler.handle(event, self.now_s):
            match effect:
                case StartLoad(name, load_id, placed):
                    self.held[name] = placed.size_bytes
                    took = ((placed.device_uuid, placed.size_bytes),)
                    self.tell(LoadFinished(name, load_id, took, self.snapshots()))
                case StartUnload(name, load_id, _, _):
                    del self.held[name]
                    self.sample()
                    self.tell(UnloadFinished(name, load_id, self.snapshots()))
                case StartJob(job):
                    self.tell(JobEnded(job.job_id, job.model, succeeded=True))

    def ask(self, name: str) -> None:
        self.jobs += 1
        self.tell(JobSubmitted(Job(self.jobs, name, self.now_s)))
        for _ in range(60):
            self.sample()

    def kept_bytes(self) -> int:
        return max(watch.kept_bytes for watch in self.scheduler.state.watches.values())


def test_two_models_that_take_turns_on_a_card_always_find_the_room_they_left():
    card = Card(model("chat", 11), model("drawer", 3))
    for name in ("chat", "drawer", "chat", "drawer", "chat"):
        card.ask(name)
        assert set(card.held) == {name}
        assert card.kept_bytes() == 0
