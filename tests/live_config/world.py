"""A folder of settings, and the running parts that follow it: all real but the worker processes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from danzar.broker.reservations import Reservations
from danzar.broker.rules import ledger_rules, scheduler_rules, with_rules
from danzar.config.load import load_config
from danzar.config.settings import Config
from danzar.core.book import Limit, Margins, Reservation
from danzar.core.device import CPU_UUID, DeviceKind, DeviceSnapshot
from danzar.core.events import FactsChanged, PinChanged, ReservationsChanged
from danzar.core.ledger import Ledger
from danzar.core.model import ModelFacts
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.variant import Rung, Variant
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.live.followers import follow_manager, follow_monitor
from danzar.live.live_config import LiveConfig
from danzar.monitor import MemoryMonitor
from danzar.telemetry.sampler import Sampler
from danzar.telemetry.simulated import SEED_CARDS, SimulatedCards
from danzar.units import GIB

VRAM = """\
# The cards.
telemetry: {mode: simulated}   # no driver here

placement:
  margin: 256 MiB  # left free
  keep_alive_s: 900

devices:
  cuda:0: {reserve: 1 GiB}
"""
MODELS = """\
use: {chat: small, detect: null, rank: null, read: null, media: med}
models:
  small: {backend: llama, role: chat, path: small.gguf}
  big-2.5: {backend: llama, role: chat, path: big.gguf, fallback: small}
  med: {backend: media, role: media}
"""


def device(index: int, total_bytes: int = 12 * GIB) -> DeviceSnapshot:
    return DeviceSnapshot(
        uuid=f"GPU-{index}{index}" if index >= 0 else CPU_UUID,
        index=index,
        name="test card",
        kind=DeviceKind.CUDA if index >= 0 else DeviceKind.CPU,
        total_bytes=total_bytes,
        free_bytes=total_bytes,
        used_bytes=0,
        utilisation_pct=None,
        temperature_c=None,
        power_w=None,
        processes=(),
        simulated=True,
        sampled_at_s=0.0,
    )


DEVICES = (device(0), device(1), device(-1))


def plain_facts(name: str) -> ModelFacts:
    return ModelFacts(name, f"llama:{name}", "chat", (Variant(Rung.FULL, GIB, GIB),))


class DirectManager:
    """The manager's way to the scheduler, without its queue of events."""

    def __init__(self, config: Config) -> None:
        facts = [with_rules(plain_facts(name), config) for name in config.models.models]
        ledger = Ledger(*ledger_rules(config, DEVICES))
        self.scheduler = Scheduler(facts, ledger, scheduler_rules(config))

    def change_rules(self, rules: SchedulerRules) -> None:
        self.scheduler.set_rules(rules)

    def change_ledger(
        self, budgets_bytes: Mapping[str, int], margins: Margins, limits: Iterable[Limit]
    ) -> None:
        self.scheduler.ledger.set_rules(budgets_bytes, margins, limits)

    def change_facts(self, facts: tuple[ModelFacts, ...]) -> None:
        self.scheduler.handle(FactsChanged(facts), 0.0)

    def reserve(self, reservations: tuple[Reservation, ...]) -> None:
        self.scheduler.handle(ReservationsChanged(reservations), 0.0)

    def pin(self, model: str, pinned: bool) -> None:
        self.scheduler.handle(PinChanged(model, pinned), 0.0)


@dataclass
class World:
    """A running configuration and everything that goes by it."""

    folder: Path
    live: LiveConfig
    manager: DirectManager
    reservations: Reservations
    gpu_mm: GpuMemoryManager
    monitor: MemoryMonitor
    audit: list[tuple[str, str, str]] = field(default_factory=list)

    def files(self) -> dict[str, bytes]:
        return {file.name: file.read_bytes() for file in sorted(self.folder.iterdir())}

    def rules(self) -> object:
        """Everything that runs by the settings, as one value."""
        scheduler = self.manager.scheduler
        book = scheduler.ledger.book
        return (
            self.live.config,
            scheduler.state.rules,
            replace(book, reservations=tuple(sorted(book.reservations, key=repr))),
            {name: i.facts for name, i in scheduler.instances.items()},
            {name: i.queue.limit for name, i in scheduler.instances.items()},
            self.gpu_mm.rules,
            self.monitor.interval_s,
            self.monitor.is_enabled,
        )


def make_world(folder: Path, environ: dict[str, str] | None = None) -> World:
    config = load_config(folder, environ or {})
    manager = DirectManager(config)
    sampler = Sampler(SimulatedCards(SEED_CARDS))
    gpu_mm = GpuMemoryManager(sampler, manager.scheduler.ledger, MemoryRules.from_config(config))
    memory = config.vision.gpu_memory
    monitor = MemoryMonitor(
        gpu_mm,
        interval_s=memory.memory_check_interval,
        enabled=memory.enable_memory_monitoring,
    )
    lines: list[tuple[str, str, str]] = []

    async def audit(who: str, action: str, detail: str) -> None:
        lines.append((who, action, detail))

    reservations = Reservations(ledger_rules(config, DEVICES).reservations, manager.reserve)
    followers = [
        follow_manager(manager, reservations, lambda: DEVICES),
        follow_monitor(gpu_mm, monitor),
    ]
    live = LiveConfig(config, followers, audit=audit, environ=environ or {})
    return World(folder, live, manager, reservations, gpu_mm, monitor, lines)
