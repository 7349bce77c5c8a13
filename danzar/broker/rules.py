"""What the owner configured, in the words of the core. Pure: settings in, rules out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

from danzar.broker.optimizer_rules import batch_rules
from danzar.broker.warm_rules import warm_rules
from danzar.config.models import ModelEntry
from danzar.config.prediction import prediction_rules
from danzar.config.settings import Config
from danzar.config.vram import DeviceSettings, MonitorSettings, PressureSettings
from danzar.core.asker import RequestClass
from danzar.core.book import Limit, Margins, Reservation
from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot, find_device
from danzar.core.model import ModelFacts
from danzar.core.plan import PlanRules
from danzar.core.pressure import PressureRules
from danzar.core.queue import QueueRules
from danzar.core.state import SchedulerRules, YieldRules
from danzar.units import gib_to_bytes

CHAT = "chat"
VISION = "vision"
GENERATION = "generation"
"""Making pictures and videos: neither the chat model's reservation nor vision's budget is its."""

GAMES = "games"
"""Whoever is not Danzar: no model has this purpose, so that it keeps the bytes from all of them."""

_UUID_PREFIX = "GPU-"
_CPU_BACKENDS = frozenset({"ocr", "media"})
_MAKERS = frozenset({"imagine", "video"})
_VIDEO = "video"


class LedgerRules(NamedTuple):
    """What a ledger is made from, in the order of its arguments."""

    reservations: tuple[Reservation, ...]
    budgets_bytes: Mapping[str, int]
    margins: Margins
    limits: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class _Devices:
    """What the owner wants of devices, by UUID, and the names that no device has now."""

    settings: tuple[tuple[str, DeviceSettings], ...]
    absent: tuple[str, ...]


def scheduler_rules(config: Config) -> SchedulerRules:
    """How the scheduler shall decide."""
    placement = config.vram.placement
    return SchedulerRules(
        keep_alive_s=placement.keep_alive_s,
        max_queue=placement.max_queue,
        plan=PlanRules(
            policy=placement.policy,
            min_residence_s=placement.min_residence_s,
            patience_s=placement.patience_s,
            drain_after_s=placement.drain_after_s,
            min_layer_share=placement.min_layer_share,
        ),
        yields=_yield_rules(config.vram.pressure),
        queue=queue_rules(config),
        batch=batch_rules(config),
        prediction=prediction_rules(config.vram.prediction),
        warm=warm_rules(config),
    )


def queue_rules(config: Config) -> QueueRules:
    """In which order requests shall wait."""
    queue = config.vram.queue
    bounds_s = {RequestClass(name): wait_s for name, wait_s in queue.bounds_s}
    return QueueRules(bounds_s, queue.max_per_person)


def monitor_rules(monitor: MonitorSettings) -> PressureRules:
    """When people are told that a device is full."""
    return PressureRules(
        warning_pct=monitor.warning_pct,
        clear_pct=monitor.clear_pct,
        low_free_bytes=monitor.low_free,
        critical_pct=monitor.critical_pct,
        oom_pct=monitor.oom_pct,
        hold_s=monitor.hold_s,
    )


def ledger_rules(config: Config, snapshots: tuple[DeviceSnapshot, ...]) -> LedgerRules:
    """Reservations, budgets, margins and limits for the devices that are there."""
    memory, placement = config.vision.gpu_memory, config.vram.placement
    known = _devices(config, snapshots).settings
    return LedgerRules(
        reservations=(
            *_chat_reservation(config, snapshots),
            *(Reservation(uuid, GAMES, d.reserve) for uuid, d in known if d.reserve > 0),
        ),
        budgets_bytes={VISION: gib_to_bytes(memory.vision_memory_limit_gb)},
        margins=Margins(placement.margin, placement.host_margin),
        limits=tuple(Limit(uuid, d.limit) for uuid, d in known if d.limit is not None),
    )


def absent_devices(config: Config, snapshots: tuple[DeviceSnapshot, ...]) -> tuple[str, ...]:
    """Names under ``devices`` that no device has now: what they say is without effect."""
    return _devices(config, snapshots).absent


def purpose_of(entry: ModelEntry) -> str:
    """What reservations and budgets count a model by."""
    if entry.role == CHAT:
        return CHAT
    return GENERATION if entry.role in _MAKERS else VISION


def with_rules(facts: ModelFacts, config: Config) -> ModelFacts:
    """The model with what the owner decided about it; what it needs stays as it is.

    Raises:
        KeyError: ``models.yaml`` lists no such model.
    """
    entry, memory = config.models.models[facts.name], config.vision.gpu_memory
    is_chat, is_vision = entry.role == CHAT, purpose_of(entry) == VISION
    home = memory.main_llm_device if is_chat else memory.vision_device
    # A processor takes hours for a video: only where its owner says so.
    may_fall_back = memory.fallback_to_cpu and entry.role != _VIDEO
    allow_cpu = may_fall_back if entry.allow_cpu is None else entry.allow_cpu
    return replace(
        facts,
        preferred=tuple(dict.fromkeys((entry.device or home, memory.main_llm_device))),
        min_free_bytes=gib_to_bytes(memory.cpu_fallback_threshold_gb) if is_vision else 0,
        allow_cpu=allow_cpu,
        wants_cpu=_wants_cpu(entry, home),
        priority=entry.priority,
        pinned=entry.pinned,
        protected=_is_protected(config, facts.name, entry),
        fallback=entry.fallback,
    )


def _yield_rules(pressure: PressureSettings) -> YieldRules:
    return YieldRules(
        levels=PressureRules(
            warning_pct=pressure.warning_pct,
            clear_pct=pressure.warning_pct - pressure.gap_pct,
            low_free_bytes=0,
            critical_pct=pressure.critical_pct,
            oom_pct=pressure.oom_pct,
            hold_s=pressure.hold_s,
        ),
        growth_bytes=pressure.growth,
        calm_s=pressure.calm_s,
        move_interval_s=pressure.move_interval_s,
        drain_busy=pressure.drain_busy,
    )


def _chat_reservation(
    config: Config, snapshots: tuple[DeviceSnapshot, ...]
) -> tuple[Reservation, ...]:
    memory = config.vision.gpu_memory
    device = find_device(snapshots, memory.main_llm_device)
    if device is None or device.kind is not DeviceKind.CUDA or config.models.use.chat is None:
        return ()
    kept_bytes = gib_to_bytes(memory.main_llm_memory_reservation_gb)
    return (Reservation(device.uuid, CHAT, kept_bytes),)


def _devices(config: Config, snapshots: tuple[DeviceSnapshot, ...]) -> _Devices:
    """A device that is named by index and by UUID goes by its UUID, even while it is away."""
    found: dict[str, DeviceSettings] = {}
    absent = []
    named = config.vram.devices
    for name in sorted(named, key=lambda n: n.startswith(_UUID_PREFIX)):
        snapshot = find_device(snapshots, name)
        if snapshot is not None:
            found[snapshot.uuid] = named[name]
            continue
        absent.append(name)
        if name.startswith(_UUID_PREFIX):
            found[name] = named[name]
    return _Devices(tuple(found.items()), tuple(absent))


def _wants_cpu(entry: ModelEntry, home: str) -> bool:
    return entry.backend in _CPU_BACKENDS or (entry.device or home) == CPU_UUID


def _is_protected(config: Config, name: str, entry: ModelEntry) -> bool:
    """Only the chat model in use, unless the owner says otherwise."""
    return config.models.use.chat == name if entry.protected is None else entry.protected
