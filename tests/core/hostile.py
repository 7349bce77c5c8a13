"""A world that obeys the scheduler late, in any order, and badly; other programs take their share.

The hardware's law holds in it: nobody gets bytes that are not there. What is asserted on the way is
what must never happen, whatever the world does.
"""

from dataclasses import replace

from danzar.core.book import LeaseState, Reservation
from danzar.core.device import DeviceSnapshot
from danzar.core.events import (
    Decided,
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFailure,
    LoadFinished,
    LoadRequested,
    PinChanged,
    QueueMoved,
    RefuseJob,
    ReservationsChanged,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
    WorkerLost,
)
from danzar.core.instance import InstanceState
from danzar.core.model import Job
from danzar.core.placement import plan_placement
from danzar.core.plan import PlanRules
from danzar.core.pressure import PressureRules
from danzar.core.state import YieldRules
from danzar.core.variant import LayerShape
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, make_scheduler, model, reserve, whole

CAPACITY_GIB = 12
HOST_GIB = 64
HELD = (LeaseState.RESIDENT, LeaseState.RELEASING)
CARDS = ("GPU-0", "GPU-1")
YIELDS = YieldRules(PressureRules(75, 70, 0, critical_pct=85, oom_pct=95, hold_s=1))


def _layered(gib: float, layers: int):
    return replace(whole(gib), layers=LayerShape(layers, round(gib * GIB / layers), GIB // 4))


MODELS = (
    model("a", 5, 3, worker="x", allow_cpu=False),
    model("b", 6, 4, 2, worker="x", fallback="d"),
    model("c", 7, worker="y", preferred=("cuda:1",), context_bytes=GIB // 2),
    model("d", 3, worker="z", slots=2, protected=True),
    model("e", 18, worker="e", allow_cpu=False, fallback="c", variants=(_layered(18, 36),)),
    model("f", 20, worker="f", variants=(_layered(20, 40),), process_bytes=GIB),
    model("g", 40, worker="g", allow_cpu=False),
)
NAMES = tuple(m.name for m in MODELS)


class World:
    """The machine, its other programs, and the people who ask."""

    def __init__(self, policy: str = "cost") -> None:
        rules = PlanRules(policy, min_residence_s=3, patience_s=3, drain_after_s=20)
        self.scheduler = make_scheduler(
            *MODELS,
            ledger=book(reserve("GPU-0", 2, "games")),
            max_queue=50,
            keep_alive_s=300,
            plan=rules,
            yields=YIELDS,
        )
        self.now_s = 0.0
        self.job_ids = 0
        self.held: dict[str, dict[int, int]] = {uuid: {} for uuid in (*CARDS, "cpu")}
        self.foreign = dict.fromkeys((*CARDS, "cpu"), 0)
        self.loading: dict[int, StartLoad] = {}
        self.unloading: dict[int, StartUnload] = {}
        self.waiting: set[int] = set()
        self.running: dict[int, StartJob] = {}
        self.ended: dict[int, str] = {}
        self.moves: dict[str, list[float]] = {name: [] for name in NAMES}
        self.tell(SnapshotsTaken(self.snapshots()))

    # --- the hardware ------------------------------------------------------------------------

    def free(self, uuid: str) -> int:
        capacity = HOST_GIB if uuid == "cpu" else CAPACITY_GIB
        return capacity * GIB - sum(self.held[uuid].values()) - self.foreign[uuid]

    def snapshots(self) -> tuple[DeviceSnapshot, ...]:
        cards = (gpu(i, self.free(uuid) / GIB) for i, uuid in enumerate(CARDS))
        return (*cards, replace(host(self.free("cpu") / GIB), total_bytes=HOST_GIB * GIB))

    # --- the scheduler's effects ---------------------------------------------------------------

    def tell(self, event, seconds: float = 0.1) -> None:
        self.now_s += seconds
        for effect in self.scheduler.handle(event, self.now_s):
            self.obey(effect)
        self.check()

    def obey(self, effect) -> None:
        match effect:
            case StartLoad():
                assert effect.load_id not in self.loading
                self.loading[effect.load_id] = effect
                self.check_booking(effect)
            case StartUnload():
                assert not self.is_busy(effect.model), "a busy model was unloaded"
                self.unloading[effect.load_id] = effect
            case StartJob(job):
                assert job.job_id in self.waiting, "a job was started twice"
                self.waiting.discard(job.job_id)
                self.running[job.job_id] = effect
            case RefuseJob(job_id, _, reason):
                assert job_id in self.waiting
                assert reason
                self.waiting.discard(job_id)
                self.ended[job_id] = "refused"
            case QueueMoved(job_id, position):
                assert job_id in self.waiting
                assert position >= 1
            case Decided(inputs, plan):
                assert plan_placement(inputs) == plan

    def is_busy(self, name: str) -> bool:
        return any(s.job.model == name for s in self.running.values())

    def check(self) -> None:
        ledger = self.scheduler.ledger
        for uuid in CARDS:
            leases = ledger.leases_on(uuid)
            # Bytes that a dead process left behind may have gone to others in the meantime.
            settled = sum(x.size_bytes for x in leases if x.state in HELD)
            assert settled + self.foreign[uuid] <= CAPACITY_GIB * GIB, "over capacity"
        booked = {i.load_id for i in self.scheduler.instances.values() if i.load_id is not None}
        holding = {load_id for held in self.held.values() for load_id in held if load_id > 0}
        assert holding <= booked, "bytes are held that nobody booked"
        for instance in self.scheduler.instances.values():
            running = [s for s in self.running.values() if s.job.model == instance.name]
            assert len(running) <= instance.facts.slots

    def check_booking(self, load: StartLoad) -> None:
        """What is promised, to this load too, is there."""
        for uuid in {s.device_uuid for s in load.placed.shares} & set(CARDS):
            leases = self.scheduler.ledger.leases_on(uuid)
            booked = [x.size_bytes for x in leases if x.state is not LeaseState.QUARANTINED]
            assert sum(booked) + self.foreign[uuid] <= CAPACITY_GIB * GIB, "overbooked"

    # --- people ----------------------------------------------------------------------------------

    def submit(self, name: str) -> None:
        self.job_ids += 1
        self.waiting.add(self.job_ids)
        self.tell(JobSubmitted(Job(self.job_ids, name, self.now_s)))

    def cancel(self, job_id: int) -> None:
        self.waiting.discard(job_id)
        self.ended[job_id] = "cancelled"
        self.tell(JobEnded(job_id, "a", succeeded=False))

    def finish(self, job_id: int, outcome: str = "ok") -> None:
        started = self.running.pop(job_id)
        ran_out = outcome == "oom"
        self.tell(JobEnded(job_id, started.job.model, outcome == "ok", ran_out, 1.0))
        if ran_out and not started.job.retried:
            self.waiting.add(job_id)
            again = replace(started.job, submitted_s=self.now_s, retried=True)
            self.tell(JobSubmitted(again))
        else:
            self.ended[job_id] = outcome

    def ask(self, what: str, name: str) -> None:
        events = {
            "load": LoadRequested(name),
            "unload": UnloadRequested(name),
            "pin": PinChanged(name, pinned=True),
            "unpin": PinChanged(name, pinned=False),
        }
        self.tell(events[what])

    def reserve(self, gib: int) -> None:
        self.tell(ReservationsChanged((Reservation("GPU-0", "games", gib * GIB),)))

    # --- loads and unloads -----------------------------------------------------------------------

    def finish_load(self, load_id: int, outcome: str = "ok", factor: float = 1.0) -> None:
        load = self.loading.pop(load_id)
        wanted = {s.device_uuid: round(s.size_bytes * factor) for s in load.placed.shares}
        full = any(size > self.free(uuid) for uuid, size in wanted.items())
        causes = {"oom": LoadFailure.OUT_OF_MEMORY, "error": LoadFailure.ERROR}
        if full or outcome != "ok":
            cause = LoadFailure.TOO_FULL if full else causes[outcome]
            failed = LoadFailed(load.model, load_id, outcome, cause, self.snapshots())
            self.tell(failed)
            return
        for uuid, size in wanted.items():
            self.held[uuid][load_id] = size
        done = LoadFinished(load.model, load_id, tuple(wanted.items()), self.snapshots(), 2.0)
        self.tell(done)

    def finish_unload(self, load_id: int, lost_share: float = 0.0) -> None:
        unload = self.unloading.pop(load_id)
        lost = {}
        for uuid, held in self.held.items():
            size = held.pop(load_id, 0)
            if uuid != "cpu" and round(size * lost_share):
                # It stays taken by nobody until the driver recovers: see ``recover``.
                held[-load_id] = lost[uuid] = round(size * lost_share)
        done = UnloadFinished(unload.model, load_id, self.snapshots(), tuple(lost.items()))
        self.tell(done)

    def recover(self) -> None:
        for held in self.held.values():
            for key in [k for k in held if k < 0]:
                del held[key]
        self.tell(SnapshotsTaken(self.snapshots()))

    def lose_worker(self, worker: str, uuid: str) -> None:
        lost = [
            i
            for i in self.scheduler.instances.values()
            if i.facts.worker == worker
            and i.device_uuid == uuid
            and i.state in (InstanceState.READY, InstanceState.DRAINING)
        ]
        names = {i.name for i in lost}
        for instance in lost:
            for held in self.held.values():
                held.pop(instance.load_id or 0, None)
        dead = [n for n, s in self.running.items() if s.job.model in names]
        self.tell(WorkerLost(worker, uuid, "killed"))
        for job_id in dead:
            self.finish(job_id, "lost")

    # --- time and other programs -----------------------------------------------------------------

    def play(self, uuid: str, gib: float) -> None:
        free = self.free(uuid) + self.foreign[uuid]
        self.foreign[uuid] = min(round(gib * GIB), free)
        self.tell(SnapshotsTaken(self.snapshots()))

    def wait(self, seconds: float) -> None:
        self.tell(Tick(), seconds)
        self.tell(SnapshotsTaken(self.snapshots()))

    def is_done(self) -> bool:
        return not (self.waiting or self.running or self.loading or self.unloading)

    def calm_down(self) -> None:
        """Let everything go well from here: every request must come to an end."""
        for uuid in CARDS:
            self.play(uuid, 0)
        self.recover()
        for name in NAMES:
            self.ask("unpin", name)
        for _ in range(400):
            if self.is_done():
                return
            self.be_kind()
        raise AssertionError(f"requests wait for ever: {self.waiting}")

    def be_kind(self) -> None:
        for job_id in list(self.running):
            self.finish(job_id)
        for load_id in list(self.unloading):
            self.finish_unload(load_id)
        for load_id in list(self.loading):
            self.finish_load(load_id)
        self.wait(5)
