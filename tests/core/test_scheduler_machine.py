"""The scheduler in a hostile world: loads fail, cards fill up, workers vanish, people cancel."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from danzar.core.events import (
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFinished,
    QueueMoved,
    RefuseJob,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
    WorkerLost,
)
from danzar.core.model import Job
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, make_scheduler, model

NAMES = ("a", "b", "c", "d")
CAPACITY_GIB = 12


class HostileWorld(RuleBasedStateMachine):
    """Carries out effects late, in any order, and badly; every job must still come to an end."""

    def __init__(self) -> None:
        super().__init__()
        specs = [
            model("a", 5, engine="x", allow_cpu=False),
            model("b", 6, engine="x"),
            model("c", 7, engine="y", preferred=("cuda:1",)),
            model("d", 3, engine="z", slots=2, pinned=True),
        ]
        self.scheduler = make_scheduler(*specs, ledger=book(), max_queue=3, keep_alive_s=50)
        self.now_s = 0.0
        self.job_ids = 0
        self.used_gib = {"GPU-0": 0, "GPU-1": 0, "cpu": 0}
        self.foreign_gib = {"GPU-0": 0, "GPU-1": 0}
        self.loading: dict[int, StartLoad] = {}
        self.unloading: dict[int, StartUnload] = {}
        self.held: dict[int, tuple[str, int]] = {}
        self.waiting: set[int] = set()
        self.running: dict[int, StartJob] = {}
        self.tell(SnapshotsTaken(self.snapshots()))

    def snapshots(self):
        cards = [
            gpu(i, CAPACITY_GIB - self.used_gib[u] - self.foreign_gib[u])
            for i, u in enumerate(("GPU-0", "GPU-1"))
        ]
        return (*cards, host(64 - self.used_gib["cpu"]))

    def tell(self, event) -> None:
        self.now_s += 1
        for effect in self.scheduler.handle(event, self.now_s):
            match effect:
                case StartLoad():
                    assert effect.lease_id not in self.loading
                    self.loading[effect.lease_id] = effect
                case StartUnload():
                    assert not self.busy(effect.model), "a busy model was unloaded"
                    self.unloading[effect.lease_id] = effect
                case StartJob(job):
                    assert job.job_id in self.waiting, "a job was started twice"
                    self.waiting.discard(job.job_id)
                    self.running[job.job_id] = effect
                case RefuseJob(job_id):
                    assert job_id in self.waiting
                    self.waiting.discard(job_id)
                case QueueMoved(job_id, position):
                    assert job_id in self.waiting
                    assert position >= 1

    def busy(self, name: str) -> bool:
        return any(s.job.model == name for s in self.running.values())

    @rule(name=st.sampled_from(NAMES))
    def submit(self, name: str) -> None:
        self.job_ids += 1
        self.waiting.add(self.job_ids)
        self.tell(JobSubmitted(Job(self.job_ids, name, self.now_s)))

    @precondition(lambda self: self.running)
    @rule(data=st.data(), succeeded=st.booleans())
    def finish(self, data, succeeded: bool) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.running)))
        started = self.running.pop(job_id)
        self.tell(JobEnded(job_id, started.job.model, succeeded))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def cancel(self, data) -> None:
        job_id = data.draw(st.sampled_from(sorted(self.waiting)))
        queued = [
            name
            for name, instance in self.scheduler.instances.items()
            if any(j.job_id == job_id for j in instance.queue.jobs())
        ]
        self.waiting.discard(job_id)
        self.tell(JobEnded(job_id, queued[0], succeeded=False))

    @precondition(lambda self: self.loading)
    @rule(data=st.data(), outcome=st.sampled_from(["ok", "oom", "error"]))
    def finish_load(self, data, outcome: str) -> None:
        lease_id = data.draw(st.sampled_from(sorted(self.loading)))
        load = self.loading.pop(lease_id)
        size_gib = load.size_bytes // GIB
        full = load.device_uuid != "cpu" and (
            self.used_gib[load.device_uuid] + self.foreign_gib[load.device_uuid] + size_gib
            > CAPACITY_GIB
        )
        if outcome != "ok" or full:
            oom = outcome == "oom" or full
            self.tell(LoadFailed(load.model, lease_id, outcome, oom, self.snapshots()))
            return
        self.used_gib[load.device_uuid] += size_gib
        self.held[lease_id] = (load.device_uuid, size_gib)
        self.tell(LoadFinished(load.model, lease_id, load.size_bytes, self.snapshots()))

    @precondition(lambda self: self.unloading)
    @rule(data=st.data())
    def finish_unload(self, data) -> None:
        lease_id = data.draw(st.sampled_from(sorted(self.unloading)))
        unload = self.unloading.pop(lease_id)
        device, size_gib = self.held.pop(lease_id)
        self.used_gib[device] -= size_gib
        self.tell(UnloadFinished(unload.model, lease_id, self.snapshots()))

    @rule(engine=st.sampled_from("xyz"), device=st.sampled_from(["GPU-0", "GPU-1", "cpu"]))
    def lose_worker(self, engine: str, device: str) -> None:
        lost = [
            i
            for i in self.scheduler.instances.values()
            if i.facts.engine == engine and i.device_uuid == device and i.lease_id in self.held
        ]
        names = {i.facts.name for i in lost if i.lease_id not in self.unloading}
        for instance in lost:
            if instance.lease_id not in self.unloading:
                where, size_gib = self.held.pop(instance.lease_id)
                self.used_gib[where] -= size_gib
        dead = [n for n, s in self.running.items() if s.job.model in names]
        self.tell(WorkerLost(engine, device, "killed"))
        for job_id in dead:
            started = self.running.pop(job_id)
            self.tell(JobEnded(job_id, started.job.model, succeeded=False))

    @rule(name=st.sampled_from(NAMES))
    def ask_unload(self, name: str) -> None:
        self.tell(UnloadRequested(name))

    @rule(card=st.sampled_from(["GPU-0", "GPU-1"]), gib=st.integers(0, 12))
    def play_a_game(self, card: str, gib: int) -> None:
        self.foreign_gib[card] = min(gib, CAPACITY_GIB - self.used_gib[card])
        self.tell(SnapshotsTaken(self.snapshots()))

    @rule(seconds=st.integers(1, 100))
    def time_passes(self, seconds: int) -> None:
        self.now_s += seconds
        self.tell(Tick())

    @invariant()
    def no_card_is_booked_beyond_its_capacity(self) -> None:
        ledger = self.scheduler.ledger
        for card in ("GPU-0", "GPU-1"):
            booked = sum(x.size_bytes for x in ledger.leases_on(card))
            assert booked <= CAPACITY_GIB * GIB

    @invariant()
    def the_ledger_equals_what_the_world_holds(self) -> None:
        booked = {x.lease_id for x in self.scheduler.ledger.leases()}
        assert booked == set(self.held) | set(self.loading)

    @invariant()
    def no_model_runs_more_jobs_than_it_has_slots(self) -> None:
        for name, instance in self.scheduler.instances.items():
            running = [s for s in self.running.values() if s.job.model == name]
            assert len(running) <= instance.facts.slots

    def teardown(self) -> None:
        """Let everything go well from here: every job that waits must come to an end."""
        self.foreign_gib = {"GPU-0": 0, "GPU-1": 0}
        for _ in range(200):
            if not (self.waiting or self.running or self.loading or self.unloading):
                return
            self.step_kindly()
        assert not self.waiting, f"jobs wait for ever: {self.waiting}"

    def step_kindly(self) -> None:
        for job_id in list(self.running):
            started = self.running.pop(job_id)
            self.tell(JobEnded(job_id, started.job.model, succeeded=True))
        for lease_id in list(self.unloading):
            unload = self.unloading.pop(lease_id)
            device, size_gib = self.held.pop(lease_id)
            self.used_gib[device] -= size_gib
            self.tell(UnloadFinished(unload.model, lease_id, self.snapshots()))
        for lease_id in list(self.loading):
            load = self.loading.pop(lease_id)
            size_gib = load.size_bytes // GIB
            if load.device_uuid != "cpu" and (
                self.used_gib[load.device_uuid] + size_gib > CAPACITY_GIB
            ):
                self.tell(LoadFailed(load.model, lease_id, "full", True, self.snapshots()))
                continue
            self.used_gib[load.device_uuid] += size_gib
            self.held[lease_id] = (load.device_uuid, size_gib)
            self.tell(LoadFinished(load.model, lease_id, load.size_bytes, self.snapshots()))
        self.now_s += 10
        self.tell(SnapshotsTaken(self.snapshots()))


TestHostileWorld = HostileWorld.TestCase
TestHostileWorld.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
