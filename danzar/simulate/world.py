"""A described world as plain values that the planner and the simulation read. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from danzar.config.prediction import prediction_rules
from danzar.core.book import Limit, Margins, Reservation
from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot, ProcessUse
from danzar.core.ledger import Ledger
from danzar.core.model import ModelFacts
from danzar.core.plan import PlacedOn, PlanRules
from danzar.core.pressure import PressureRules
from danzar.core.state import SchedulerRules, YieldRules
from danzar.core.variant import LayerShape, Rung, Variant
from danzar.simulate.described import (
    RUNGS,
    DescribedModel,
    DescribedRules,
    DescribedWorld,
    LoadedNow,
)

FOREIGN_PID = 1


@dataclass(frozen=True, slots=True)
class Device:
    """One device of the world.

    Attributes:
        index: The ``N`` of ``cuda:N``; -1 for host RAM.
        foreign_bytes: What other programs hold when the trace begins.
    """

    uuid: str
    index: int
    name: str
    total_bytes: int
    foreign_bytes: int


@dataclass(frozen=True, slots=True)
class SimModel:
    """A model with what the simulation needs beside the planner's facts.

    Attributes:
        real_share: What a load really takes, as a share of what is booked.
        request_s: Of a request whose trace line does not say.
        first_s: From a request's start to its first part.
        popularity: How often it is asked for, beside the others; ``None`` leaves it to the seed.
        loaded: Where it is when ``danzar plan`` looks; ``None`` when it is not loaded.
        unbooked_bytes: What each request takes on a GPU while it computes, beside the lease: what
            goes wrong where activations are not booked.
    """

    facts: ModelFacts
    real_share: float
    load_bytes_per_s: int
    load_constant_s: float
    request_s: float
    cpu_slowdown: float
    popularity: float | None = None
    loaded: LoadedNow | None = None
    first_s: float = 0.3
    unbooked_bytes: int = 0

    def load_s(self, size_bytes: int) -> float:
        """Seconds that loading this many bytes takes."""
        return self.load_constant_s + size_bytes / self.load_bytes_per_s

    def slowdown(self, placed: PlacedOn) -> float:
        """How much longer a request takes there than with all of the model on GPUs."""
        if placed.rung is Rung.CPU:
            return self.cpu_slowdown
        here, shape = placed.shares[0].layers, self.facts.variants[0].layers
        if placed.rung is not Rung.LAYERS or here is None or shape is None:
            return 1.0
        return 1.0 + (self.cpu_slowdown - 1.0) * (1.0 - here / shape.layers)


@dataclass(frozen=True, slots=True)
class World:
    """Devices, models and rules.

    Attributes:
        devices: GPUs in order, then host RAM where there is any.
    """

    devices: tuple[Device, ...]
    models: Mapping[str, SimModel]
    reservations: tuple[Reservation, ...]
    budgets_bytes: Mapping[str, int]
    limits: tuple[Limit, ...]
    margins: Margins
    rules: SchedulerRules
    sample_interval_s: float
    unload_s: float

    def ledger(self) -> Ledger:
        """An empty book with the world's reservations."""
        return Ledger(self.reservations, self.budgets_bytes, self.margins, self.limits)

    def with_policy(self, policy: str) -> "World":
        """The same world under another eviction policy."""
        plan = replace(self.rules.plan, policy=policy)
        return replace(self, rules=replace(self.rules, plan=plan))

    def with_prediction(self, *, enabled: bool) -> "World":
        """The same world with or without loading ahead."""
        prediction = replace(self.rules.prediction, enabled=enabled)
        return replace(self, rules=replace(self.rules, prediction=prediction))

    def device(self, label: str) -> Device:
        """The device that is called ``cuda:N`` or ``cpu``."""
        return next(d for d in self.devices if label_of(d) == label)


def label_of(device: Device) -> str:
    """``cuda:N`` or ``cpu``."""
    return CPU_UUID if device.uuid == CPU_UUID else f"cuda:{device.index}"


def snapshot_of(
    device: Device, processes: tuple[ProcessUse, ...], used_bytes: int, now_s: float
) -> DeviceSnapshot:
    """What a driver would say of it."""
    kind = DeviceKind.CPU if device.uuid == CPU_UUID else DeviceKind.CUDA
    return DeviceSnapshot(
        uuid=device.uuid,
        index=device.index,
        name=device.name,
        kind=kind,
        total_bytes=device.total_bytes,
        free_bytes=device.total_bytes - used_bytes,
        used_bytes=used_bytes,
        utilisation_pct=None,
        temperature_c=None,
        power_w=None,
        processes=processes,
        simulated=True,
        sampled_at_s=now_s,
    )


def make_world(described: DescribedWorld) -> World:
    """The values that a described world stands for."""
    devices = [
        Device(f"GPU-described-{i}", i, c.name, c.memory, min(c.foreign, c.memory))
        for i, c in enumerate(described.devices)
    ]
    uuids = {f"cuda:{d.index}": d.uuid for d in devices} | {CPU_UUID: CPU_UUID}
    if described.host is not None:
        host = described.host
        devices.append(
            Device(CPU_UUID, -1, "host RAM", host.memory, min(host.foreign, host.memory))
        )
    return World(
        devices=tuple(devices),
        models={name: _model(name, m) for name, m in described.models.items()},
        reservations=tuple(
            Reservation(uuids[r.device], r.purpose, r.size) for r in described.reservations
        ),
        budgets_bytes=described.budgets,
        limits=tuple(Limit(uuids[label], size) for label, size in described.limits.items()),
        margins=Margins(described.rules.margin, described.rules.host_margin),
        rules=_rules(described.rules),
        sample_interval_s=described.rules.sample_interval_s,
        unload_s=described.rules.unload_s,
    )


def _model(name: str, model: DescribedModel) -> SimModel:
    return SimModel(
        facts=_facts(name, model),
        real_share=1.0 if model.measured is None else model.measured / max(1, model.size),
        load_bytes_per_s=model.load_rate,
        load_constant_s=model.load_s,
        request_s=model.request_s,
        cpu_slowdown=model.cpu_slowdown,
        popularity=model.popularity,
        loaded=model.loaded,
        first_s=model.first_s,
        unbooked_bytes=model.unbooked,
    )


def _facts(name: str, model: DescribedModel) -> ModelFacts:
    return ModelFacts(
        name=name,
        worker=model.worker or name,
        purpose=model.purpose,
        variants=_variants(model),
        context_bytes=model.context,
        process_bytes=model.process,
        preferred=model.devices,
        allow_cpu=model.cpu,
        slots=model.slots,
        priority=model.priority,
        pinned=model.pinned,
        protected=model.protected,
        fallback=model.fallback,
    )


def _variants(model: DescribedModel) -> tuple[Variant, ...]:
    host_bytes = model.size if model.host is None else model.host
    steps = [(Rung.FULL, model.size, "")]
    steps += [(RUNGS[v.rung], v.size, v.loss) for v in model.variants]
    return tuple(
        Variant(
            rung,
            size,
            max(0, host_bytes - (model.size - size)),
            layers=_layers(model, size),
            loss=loss,
        )
        for rung, size, loss in steps
    )


def _layers(model: DescribedModel, size_bytes: int) -> LayerShape | None:
    if model.layers is None:
        return None
    divided = max(0, size_bytes - model.fixed)
    return LayerShape(model.layers, -(-divided // model.layers), model.fixed)


def _rules(rules: DescribedRules) -> SchedulerRules:
    return SchedulerRules(
        keep_alive_s=rules.keep_alive_s,
        max_queue=rules.max_queue,
        plan=PlanRules(
            policy=rules.policy,
            min_residence_s=rules.min_residence_s,
            patience_s=rules.patience_s,
            drain_after_s=rules.drain_after_s,
        ),
        yields=YieldRules(
            levels=PressureRules(
                rules.warning_pct,
                min(rules.clear_pct, rules.warning_pct),
                rules.low_free,
                hold_s=rules.hold_s,
            ),
            calm_s=rules.calm_s,
            move_interval_s=rules.move_interval_s,
        ),
        prediction=prediction_rules(rules.prediction),
    )
