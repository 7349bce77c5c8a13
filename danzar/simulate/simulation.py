"""A trace carried out by the production scheduler on simulated devices, in virtual time."""

import heapq
import itertools
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from danzar.core.asker import Asker, RequestClass
from danzar.core.device import CPU_UUID
from danzar.core.events import (
    BatchChanged,
    BatchResized,
    CancelLoad,
    Decided,
    DropWarm,
    Effect,
    Event,
    HintGiven,
    JobEnded,
    JobSubmitted,
    LoadFailed,
    LoadFailure,
    LoadFinished,
    QueueMoved,
    RefuseJob,
    ResizeBatch,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartStandby,
    StartUnload,
    Tick,
    UnloadFinished,
    WorkerLost,
)
from danzar.core.instance import HELD
from danzar.core.model import Job
from danzar.core.plan import NeedsEviction, PlacedOn
from danzar.core.scheduler import Scheduler
from danzar.simulate.ahead import AheadWatch
from danzar.simulate.evictions import EvictionJudge
from danzar.simulate.figures import Figures, Loaded, Report, summarise
from danzar.simulate.machine import Machine
from danzar.simulate.over_commits import over_booked, over_committed
from danzar.simulate.trace import Ask, Foreign, Hint, Line, Lose, RunOut, Trace, Turn
from danzar.simulate.turns import RunningTurn, answered, begin_stage, has_begun
from danzar.simulate.world import World

# A check that fails before anything was touched still takes a moment.
_CHECK_S = 0.05
# After the trace, what was asked has this long to be answered.
_GRACE_S = 3600.0
# A trace begins on a Monday at midnight: 1970 began with a Thursday.
MONDAY_S = 4 * 86_400.0

OnEffect = Callable[[Effect], None]


@dataclass(slots=True)
class _Asked:
    """One request and where it stands."""

    purpose: str
    at_s: float
    seconds: float
    job: Job
    began_s: float | None = None
    turn: RunningTurn | None = None


class Simulation:
    """One run; ``run`` may be called once."""

    def __init__(self, world: World, trace: Trace, on_effect: OnEffect | None = None) -> None:
        """Set up the world as it is when the trace begins.

        Args:
            world: Devices, models and rules.
            trace: What happens from outside; its names are in the world.
            on_effect: Hears everything that the scheduler asks for.
        """
        self.world = world
        self.figures = Figures()
        self.machine = Machine(world.devices)
        self.scheduler = Scheduler(
            (m.facts for m in world.models.values()), world.ledger(), world.rules
        )
        self.now_s = 0.0
        self.ahead = AheadWatch(self.scheduler)
        self._judge = EvictionJudge()
        self._on_effect = on_effect
        self._order = itertools.count()
        self._heap: list[tuple[float, int, Callable[[], None]]] = []
        self._job_ids = itertools.count(1)
        self._asked: dict[int, _Asked] = {}
        self._loading: dict[int, StartLoad] = {}
        self._taken: dict[int, tuple[int, str, int]] = {}
        self._ever_loaded: set[str] = set()
        self._run_out: set[str] = set()
        self._trace_left = len(trace)
        self._end_s = (trace[-1].at_s if trace else 0.0) + _GRACE_S
        self._at(0.0, self._sample)
        for line in trace:
            self._at(line.at_s, lambda line=line: self._happen(line))  # type: ignore[misc]

    def run(self) -> Report:
        """Everything, until all requests are answered or nothing can answer them any more."""
        began = time.perf_counter()
        while (self._trace_left or self._asked) and self._heap[0][0] <= self._end_s:
            self._step()
        for model in self.world.models:
            self.figures.futile += self._judge.given_up(model)
        wall_s = time.perf_counter() - began
        rules = self.world.rules
        bounds_s = rules.queue.bounds_s
        return summarise(self.figures, rules.plan.policy, bounds_s, self.now_s, wall_s)

    def advance(self, until_s: float) -> None:
        """Let everything happen up to this time."""
        while self._heap[0][0] <= until_s:
            self._step()
        self.now_s = until_s

    def _step(self) -> None:
        self.now_s, _, happen = heapq.heappop(self._heap)
        happen()
        if not self._heap or self._heap[0][0] > self.now_s:
            self._look_ahead()

    def tell(self, event: Event) -> None:
        """Let the scheduler hear of it, and do what it asks for."""
        self.ahead.before()
        self._do(self.scheduler.handle(event, self.now_s))

    def _look_ahead(self) -> None:
        """Nothing more happens now, which is when the scheduler looks ahead."""
        self.ahead.before()
        self._do(self.scheduler.look_ahead(self.now_s))
        self.ahead.at_rest(self.now_s)

    def _do(self, effects: list[Effect]) -> None:
        self.ahead.after(effects, self.now_s)
        for effect in effects:
            if self._on_effect is not None:
                self._on_effect(effect)
            self._carry_out(effect)

    # --- from outside ------------------------------------------------------------------------

    def _happen(self, line: Line) -> None:
        self._trace_left -= 1
        match line:
            case Ask(model=model, seconds=seconds):
                self.ask(model, seconds, asker=self._asker(line))
            case Turn(stages=stages):
                self._begin_stage(RunningTurn(self.now_s, stages))
            case Hint(model=model, sign=sign):
                self.tell(HintGiven(model, sign))
            case Foreign(device=label, size_bytes=size):
                self.machine.set_foreign(self.world.device(label).uuid, size)
            case Lose(model=model):
                self._lose(model)
            case RunOut(model=model):
                self._run_out.add(model)

    def _begin_stage(self, turn: RunningTurn) -> None:
        begin_stage(turn, lambda model: self.ask(model, turn=turn))

    def _asker(self, ask: Ask) -> Asker:
        kind = ask.request_class or _class_of(self.world.models[ask.model].facts.purpose)
        return Asker(kind, ask.person)

    def ask(
        self,
        model: str,
        seconds: float | None = None,
        turn: RunningTurn | None = None,
        asker: Asker | None = None,
    ) -> None:
        """Someone asks a model now."""
        known = self.world.models[model]
        self.figures.requests += 1
        who = asker or Asker(_class_of(known.facts.purpose))
        job = Job(next(self._job_ids), model, self.now_s, asker=who)
        takes_s = known.request_s if seconds is None else seconds
        self._submit(_Asked(known.facts.purpose, self.now_s, takes_s, job, turn=turn))

    def _submit(self, asked: _Asked) -> None:
        self._asked[asked.job.job_id] = asked
        self.tell(JobSubmitted(asked.job))

    def _lose(self, model: str) -> None:
        """All models of the worker on that device are gone; what ran there is asked once more."""
        lost = self.scheduler.instances[model]
        device, worker = lost.device_uuid, lost.facts.worker
        if lost.state not in HELD or device is None:
            return
        running: list[int] = []
        for instance in self.scheduler.instances.values():
            hosted = (instance.facts.worker, instance.device_uuid) == (worker, device)
            if hosted and instance.state in HELD and instance.load_id is not None:
                self.machine.release(instance.load_id)
                running += sorted(instance.in_flight)
        self.tell(WorkerLost(worker, device, "its process died"))
        for job_id in running:
            self._again(job_id, out_of_memory=False)

    def _again(self, job_id: int, *, out_of_memory: bool) -> None:
        asked = self._asked.pop(job_id)
        self.figures.out_of_memory += out_of_memory
        ended = JobEnded(job_id, asked.job.model, succeeded=False, out_of_memory=out_of_memory)
        self.tell(ended)
        if asked.job.retried:
            self.figures.failed += 1
            return
        job = replace(asked.job, job_id=next(self._job_ids), retried=True)
        self._submit(replace(asked, job=job, began_s=None))

    # --- effects -----------------------------------------------------------------------------

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case StartLoad():
                self._start_load(effect)
            case CancelLoad(load_id=load_id):
                self._loading.pop(load_id, None)
                self._later(self.world.unload_s, lambda: self._unloaded(effect.model, load_id))
            case StartUnload(load_id=load_id):
                self.figures.unloads += 1
                self._later(self.world.unload_s, lambda: self._unloaded(effect.model, load_id))
            case StartJob():
                self._start_job(effect)
            case RefuseJob(job_id):
                self._refused(job_id)
            case Decided():
                self._decided(effect)
            case ResizeBatch():
                self._resized(effect)
            case QueueMoved() | BatchChanged() | DropWarm() | StartStandby():
                pass

    def _resized(self, effect: ResizeBatch) -> None:
        snapshots = self.machine.snapshots(self.now_s)
        self.tell(
            BatchResized(
                effect.model,
                effect.load_id,
                effect.before,
                effect.size,
                effect.reason,
                snapshots,
            )
        )

    def _start_load(self, load: StartLoad) -> None:
        self.figures.over_commits += over_booked(self.scheduler, load)
        if any(self._unclaimed(uuid) < size for uuid, size in self._booked(load)):
            self._later(_CHECK_S, lambda: self._load_failed(load, LoadFailure.TOO_FULL, _CHECK_S))
            return
        self._loading[load.load_id] = load
        seconds = self._load_s(load)
        self._later(seconds, lambda: self._loaded(load, seconds))

    def _unclaimed(self, uuid: str) -> int:
        """Free, less what loads in flight are about to take."""
        claimed = sum(
            size for x in self._loading.values() for u, size in self._booked(x) if u == uuid
        )
        return self.machine.free_bytes(uuid) - claimed

    def _loaded(self, load: StartLoad, seconds: float) -> None:
        if self._loading.pop(load.load_id, None) is None:
            return  # it was cancelled
        real = self._real(load)
        if self.machine.hold(load.load_id, real) is not None:
            self._load_failed(load, LoadFailure.OUT_OF_MEMORY, seconds)
            return
        self._count_load(load, seconds, None)
        self._ever_loaded.add(load.model)
        snapshots = self.machine.snapshots(self.now_s)
        self.tell(LoadFinished(load.model, load.load_id, tuple(real), snapshots, seconds))
        self.figures.over_commits += over_committed(self.scheduler, self.machine, load)

    def _load_failed(self, load: StartLoad, cause: LoadFailure, seconds: float) -> None:
        self._count_load(load, seconds, cause)
        snapshots = self.machine.snapshots(self.now_s)
        self.tell(LoadFailed(load.model, load.load_id, cause, cause, snapshots))

    def _unloaded(self, model: str, load_id: int) -> None:
        self.machine.release(load_id)
        self.ahead.unloaded(load_id)
        self.tell(UnloadFinished(model, load_id, self.machine.snapshots(self.now_s)))

    def _start_job(self, start: StartJob) -> None:
        job_id = start.job.job_id
        asked = self._asked[job_id]
        model = self.world.models[start.job.model]
        placed = self.scheduler.instances[start.job.model].placed
        if placed is None:
            raise AssertionError(f"a request started on {start.job.model}, which is not loaded")
        asked.began_s, asked.job = self.now_s, start.job
        self.figures.waits_s[asked.purpose].append(self.now_s - asked.at_s)
        self.figures.waits_by[asked.job.asker].append(self.now_s - asked.at_s)
        self.figures.served.append((start.job.model, start.device_uuid != CPU_UUID))
        self.figures.degraded += start.degraded is not None
        slowdown = model.slowdown(placed)
        if asked.turn is not None and has_begun(asked.turn):
            waited_s = self.now_s - asked.turn.at_s
            first_s = waited_s + model.first_s * slowdown
            self.figures.first_s.append((asked.turn.at_s, first_s))
        if not self._takes(start):
            self._later(_CHECK_S, lambda: self._again(job_id, out_of_memory=True))
            return
        seconds = asked.seconds * slowdown
        self._later(seconds, lambda: self._job_done(start, seconds))

    def _takes(self, start: StartJob) -> bool:
        """Whether the card has what the request takes beside what was booked."""
        load_id = self.scheduler.instances[start.job.model].load_id
        size_bytes = self.world.models[start.job.model].unbooked_bytes
        if not size_bytes or load_id is None or start.device_uuid == CPU_UUID:
            return True
        if not self.machine.compute(load_id, start.device_uuid, size_bytes):
            return False
        self._taken[start.job.job_id] = (load_id, start.device_uuid, size_bytes)
        return True

    def _job_done(self, start: StartJob, seconds: float) -> None:
        job_id = start.job.job_id
        if (taken := self._taken.pop(job_id, None)) is not None:
            self.machine.computed(*taken)
        asked = self._asked.get(job_id)
        if asked is None:
            return
        if asked.job.model in self._run_out:
            self._run_out.discard(asked.job.model)
            self._again(job_id, out_of_memory=True)
            return
        del self._asked[job_id]
        self.figures.answered += 1
        self.tell(JobEnded(job_id, asked.job.model, succeeded=True, seconds=seconds))
        if asked.turn is not None:
            answered(asked.turn, lambda model: self.ask(model, turn=asked.turn))

    def _refused(self, job_id: int) -> None:
        job = self._asked.pop(job_id).job
        model = job.model
        self.figures.refused += 1
        self.figures.refused_by[job.asker] += 1
        if not len(self.scheduler.instances[model].queue):
            self.figures.futile += self._judge.given_up(model)

    def _decided(self, decided: Decided) -> None:
        self.figures.decisions += 1
        match decided.plan:
            case NeedsEviction():
                self.figures.evictions += self._judge.evicted(decided.inputs, decided.plan)
            case PlacedOn():
                self.figures.futile += self._judge.placed(decided.inputs, decided.plan)
            case _:
                pass

    # --- checks and figures ------------------------------------------------------------------

    def _count_load(self, load: StartLoad, seconds: float, failed: str | None) -> None:
        again = load.model in self._ever_loaded
        on_gpus = [s.size_bytes for s in load.placed.shares if s.device_uuid != CPU_UUID]
        size_bytes = sum(on_gpus) or load.placed.size_bytes
        began_s = self.now_s - seconds
        self.figures.loads.append(
            Loaded(load.model, began_s, size_bytes, seconds, len(on_gpus), again, failed)
        )

    def _booked(self, load: StartLoad) -> Iterator[tuple[str, int]]:
        return ((s.device_uuid, s.size_bytes) for s in load.placed.shares)

    def _real(self, load: StartLoad) -> list[tuple[str, int]]:
        share = self.world.models[load.model].real_share
        return [
            (u, size if u == CPU_UUID else round(size * share)) for u, size in self._booked(load)
        ]

    def _load_s(self, load: StartLoad) -> float:
        model = self.world.models[load.model]
        read_bytes = sum(size for _, size in self._booked(load))
        return model.load_s(min(read_bytes, model.facts.cuda_bytes))

    # --- time --------------------------------------------------------------------------------

    def _sample(self) -> None:
        """What the sampler does: it asks the driver, and time passes."""
        self.tell(SnapshotsTaken(self.machine.snapshots(self.now_s), self.machine.own_pids()))
        self.tell(Tick(local_s=MONDAY_S + self.now_s))
        self._later(self.world.sample_interval_s, self._sample)

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        self._at(self.now_s + seconds, happen)

    def _at(self, at_s: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._heap, (at_s, next(self._order), happen))


def _class_of(purpose: str) -> RequestClass:
    return RequestClass.CHAT if purpose == "chat" else RequestClass.VISION
