"""A machine with many cards and models, as its scrape sees it: real parts without a driver."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace

from danzar.broker.news import (
    LoadEnded,
    LoadOutcome,
    NewsDesk,
    PlanMade,
    RequestEnded,
    RequestOutcome,
)
from danzar.core.asker import RequestClass
from danzar.core.batch_curve import BatchPoint
from danzar.core.batch_tuning import batch_views
from danzar.core.batching import BatchRules
from danzar.core.book import Margins
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.events import (
    BatchesMeasured,
    LoadFinished,
    LoadRequested,
    SnapshotsTaken,
    StartLoad,
)
from danzar.core.ledger import Ledger
from danzar.core.model import ModelFacts
from danzar.core.pressure import Level, Pressure, PressureRules
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.upkeep import AllocatorView
from danzar.core.variant import Rung, Variant
from danzar.core.vision_device import VisionRules
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.jobs.contract import JobState
from danzar.loop_lag import LoopLag
from danzar.metrics.background import Background
from danzar.metrics.metrics import Metrics
from danzar.metrics.own import Gateway, WorkerFact
from danzar.metrics.sources import Sources
from danzar.nodes.standing import Member, Standing
from danzar.nodes.state import NodeState, Phase
from danzar.readiness import ModelFate, NeededModel, ReadyFacts, judge
from danzar.telemetry.sampler import Sampler
from danzar.units import GIB, MIB
from danzar.workers.contract import DetectedBatch, Generated, Result

NODE = "bench"
_NOW_S = 1000.0


class AskedOnce:
    """Telemetry that answers once: whoever asks again has asked the driver during a scrape."""

    def __init__(self, snapshots: tuple[DeviceSnapshot, ...]) -> None:
        self.snapshots = snapshots
        self.asked = 0

    async def sample(self) -> tuple[DeviceSnapshot, ...]:
        """The figures, the first time."""
        self.asked += 1
        if self.asked > 1:
            raise AssertionError("the driver was asked")
        return self.snapshots

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class ScrapeWorld:
    """What a test may look at besides the text."""

    metrics: Metrics
    scheduler: Scheduler
    telemetry: AskedOnce
    sampler: Sampler
    news: NewsDesk


def scrape_world(*, cards: int = 8, models: int = 30, peers: int = 16) -> ScrapeWorld:
    """All models loaded on the cards and in use, with peers around; not on an event loop."""
    snapshots = tuple(_card(index) for index in range(cards))
    telemetry = AskedOnce(snapshots)
    sampler = Sampler(telemetry, now_s=lambda: _NOW_S)
    asyncio.run(sampler.refresh())
    facts = [_facts(index, cards) for index in range(models)]
    scheduler = _loaded(facts, snapshots)
    news, background = NewsDesk(), Background(None)
    background.resident_bytes = 150 * MIB
    background.waiting = {fact.name: 1 for fact in facts}
    metrics = Metrics(_sources(scheduler, sampler, news, background, _members(peers)))
    _use(news, facts, cards)
    metrics.tally.job_ended(facts[0].name, JobState.COMPLETED)
    return ScrapeWorld(metrics, scheduler, telemetry, sampler, news)


def _sources(
    scheduler: Scheduler,
    sampler: Sampler,
    news: NewsDesk,
    background: Background,
    members: Sequence[Member],
) -> Sources:
    pressure = PressureRules(warning_pct=90, clear_pct=85, low_free_bytes=0)
    vision = VisionRules("cuda:1", "cuda:0", 2 * GIB, GIB)
    memory = GpuMemoryManager(sampler, scheduler.ledger, MemoryRules(vision, pressure))
    names, lag = list(scheduler.instances), _lag()
    uuids = [s.uuid for s in sampler.reading.snapshots]
    ready = ReadyFacts(
        started=True,
        connected=True,
        figures_age_s=0.5,
        figures_stale=False,
        figures_error=None,
        models=[NeededModel(name, "chat", ModelFate.LOADED) for name in names],
        queue_up=True,
    )
    return Sources(
        node=NODE,
        state=scheduler.state,
        news=news,
        devices=memory.devices,
        pressure=lambda _uuid: Pressure(Level.WARNING, 0.0),
        allocators=lambda: [AllocatorView("torch", u, GIB, 2 * GIB, GIB) for u in uuids],
        batches=lambda: batch_views(scheduler.state),
        workers=lambda: [
            WorkerFact("llama", f"llama:{name}", GIB, {name: GIB // 4}) for name in names
        ],
        figures_age_s=lambda: sampler.reading.age_s(_NOW_S),
        loop_lag_s=lambda: lag.p99_s,
        incidents=lambda: [Level.WARNING, Level.CRITICAL],
        incidents_opened=lambda: {"memory": 3, "heat": 1},
        members=lambda: members,
        readiness=lambda: judge(ready),
        gateway=lambda: Gateway(True, 0.04),
        log_dropped=lambda: 0,
        background=background,
    )


def _lag() -> LoopLag:
    """A minute's worth of what a loop measures of itself."""
    lag = LoopLag()
    for number in range(3000):
        lag.note(0.001 + (number * 7919 % 1000) / 1e5)
    return lag


def _card(index: int) -> DeviceSnapshot:
    return DeviceSnapshot(
        uuid=f"GPU-{index:04d}-4f3e-9a10-8a12cd",
        index=index,
        name="NVIDIA GeForce RTX 4090",
        kind=DeviceKind.CUDA,
        total_bytes=24 * GIB,
        free_bytes=20 * GIB,
        used_bytes=4 * GIB,
        utilisation_pct=37.5,
        temperature_c=61.0,
        power_w=212.25,
        processes=(),
        simulated=True,
        sampled_at_s=_NOW_S,
    )


def _facts(index: int, cards: int) -> ModelFacts:
    """Every third model computes batches of pictures."""
    sees = index % 3 == 0
    return ModelFacts(
        name=f"model-{index:02d}-instruct",
        worker="torch" if sees else f"llama:model-{index:02d}-instruct",
        purpose="vision" if sees else "chat",
        variants=(Variant(Rung.FULL, GIB, GIB),),
        process_bytes=256 * MIB,
        preferred=(f"cuda:{index % cards}",),
        batch=2 if sees else None,
    )


def _loaded(facts: Sequence[ModelFacts], snapshots: tuple[DeviceSnapshot, ...]) -> Scheduler:
    rules = SchedulerRules(batch=BatchRules())
    ledger = Ledger(margins=Margins(GIB // 2, GIB))
    scheduler = Scheduler(facts, ledger, rules)
    host = replace(snapshots[0], uuid="cpu", index=-1, kind=DeviceKind.CPU, total_bytes=512 * GIB)
    seen = (*snapshots, replace(host, free_bytes=400 * GIB))
    scheduler.handle(SnapshotsTaken(seen), _NOW_S)
    for fact in facts:
        for effect in scheduler.handle(LoadRequested(fact.name), _NOW_S):
            if isinstance(effect, StartLoad):
                done = LoadFinished(effect.model, effect.load_id, (), seen, 2.0)
                scheduler.handle(done, _NOW_S)
        if fact.batch:
            points = tuple(BatchPoint(n, 640 * 640, n * 90 * MIB, n * 0.02) for n in (1, 2, 4, 8))
            scheduler.handle(BatchesMeasured(fact.name, points), _NOW_S)
    return scheduler


def _members(peers: int) -> tuple[Member, ...]:
    def state(name: str) -> NodeState:
        return NodeState(name, "1", "0.1.0", Phase.SERVING, 0.0, 0.0, 30.0, (), ())

    names = [NODE, *(f"peer-{n:02d}" for n in range(peers))]
    return tuple(Member(state(name), Standing.ALIVE, 60.0, 1.0) for name in names)


def _use(news: NewsDesk, facts: Sequence[ModelFacts], cards: int) -> None:
    """Every model was loaded, and asked by people and by jobs."""
    for index, fact in enumerate(facts):
        uuid = _card(index % cards).uuid
        news.tell(LoadEnded(fact.name, uuid, LoadOutcome.LOADED, 2.0, "", GIB, GIB + 10))
        first = RequestClass.VISION if fact.batch else RequestClass.CHAT
        for kind in (first, RequestClass.JOB):
            news.tell(_answered(fact, kind))
        news.tell(PlanMade(0.0004))


def _answered(fact: ModelFacts, kind: RequestClass) -> RequestEnded:
    result: Result = DetectedBatch(((),)) if fact.batch else Generated("stop", 40, 80, 10)
    return RequestEnded(fact.name, kind, RequestOutcome.ANSWERED, 1.5, 0.2, result)
