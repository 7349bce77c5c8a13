"""The parts that follow the settings while Danzar runs; see ``danzar.live.live_config``."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from danzar.broker.optimizer_rules import upkeep_rules
from danzar.broker.rules import ledger_rules, queue_rules, scheduler_rules, with_rules
from danzar.broker.upkeep import Upkeep
from danzar.config.settings import Config
from danzar.core.book import Limit, Margins, Reservation
from danzar.core.device import DeviceSnapshot
from danzar.core.model import ModelFacts
from danzar.core.queue import QueueRules
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.errors import ConfigError
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.incidents.open_incidents import Incidents, incident_rules
from danzar.live.live_config import Follower, Step
from danzar.monitor import MemoryMonitor


class Manager(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that is told of changes."""

    @property
    def scheduler(self) -> Scheduler:
        """To be read only."""
        ...

    def change_rules(self, rules: SchedulerRules) -> None:
        """Go by new rules."""
        ...

    def change_ledger(
        self, budgets_bytes: Mapping[str, int], margins: Margins, limits: Iterable[Limit]
    ) -> None:
        """Keep the book by new rules; leases stay."""
        ...

    def change_facts(self, facts: tuple[ModelFacts, ...]) -> None:
        """Know more of some models; whether they are pinned stays."""
        ...

    def pin(self, model: str, pinned: bool) -> None:
        """Pin a model, or let it go."""
        ...


class Ordered(Protocol):
    """The part of ``danzar.vision.service.VisionService`` that is told of changes."""

    def set_queue_rules(self, rules: QueueRules) -> None:
        """Put waiting pictures in order by other rules."""
        ...


class Configurable(Protocol):
    """The part of ``danzar.broker.reservations.Reservations`` that is told of changes."""

    def configure(self, configured: Sequence[Reservation]) -> None:
        """Go by other configured ones; people's stay."""
        ...


def follow_manager(
    manager: Manager,
    reservations: Configurable,
    snapshots: Callable[[], tuple[DeviceSnapshot, ...]],
) -> Follower:
    """Scheduler, ledger and models follow the settings.

    What people reserved stays; what they pinned, too, unless the settings say otherwise now.
    """

    def follow(old: Config, new: Config) -> Step:
        devices = snapshots()
        if not devices:
            raise ConfigError("no device was measured yet; try again in a few seconds")
        rules, book = scheduler_rules(new), ledger_rules(new, devices)
        before = ledger_rules(old, devices).reservations

        async def step() -> None:
            manager.change_rules(rules)
            manager.change_ledger(book.budgets_bytes, book.margins, book.limits)
            if before != book.reservations:
                reservations.configure(book.reservations)
            manager.change_facts(_changed_facts(manager.scheduler, old, new))
            for name, pinned in _changed_pins(old, new):
                manager.pin(name, pinned)

        return step

    return follow


def follow_monitor(gpu_mm: GpuMemoryManager, monitor: MemoryMonitor) -> Follower:
    """The cards' face and the alerts follow the settings."""

    def follow(old: Config, new: Config) -> Step:
        rules = MemoryRules.from_config(new)
        before, after = old.vision.gpu_memory, new.vision.gpu_memory

        async def step() -> None:
            gpu_mm.rules = rules
            monitor.interval_s = after.memory_check_interval
            if before.enable_memory_monitoring != after.enable_memory_monitoring:
                await (monitor.start() if after.enable_memory_monitoring else monitor.stop())

        return step

    return follow


def follow_alerts(monitor: MemoryMonitor, incidents: Incidents) -> Follower:
    """When troubles are told follows the settings."""

    def follow(_old: Config, new: Config) -> Step:
        rules = incident_rules(new.bot.alerts)

        async def step() -> None:
            monitor.rules = rules
            incidents.configure(new.bot.alerts)

        return step

    return follow


def follow_vision(vision: Ordered) -> Follower:
    """The order of waiting pictures follows the settings."""

    def follow(_old: Config, new: Config) -> Step:
        rules = queue_rules(new)

        async def step() -> None:
            vision.set_queue_rules(rules)

        return step

    return follow


def follow_upkeep(upkeep: Upkeep) -> Follower:
    """What is done for workers' memory follows the settings."""

    def follow(old: Config, new: Config) -> Step:
        rules = upkeep_rules(new)

        async def step() -> None:
            if rules != upkeep_rules(old):
                upkeep.configure(rules)

        return step

    return follow


def _changed_facts(scheduler: Scheduler, old: Config, new: Config) -> tuple[ModelFacts, ...]:
    known = [i.facts for i in scheduler.instances.values() if i.name in new.models.models]
    return tuple(
        with_rules(facts, new)
        for facts in known
        if with_rules(facts, old) != with_rules(facts, new)
    )


def _changed_pins(old: Config, new: Config) -> list[tuple[str, bool]]:
    before, after = old.models.models, new.models.models
    return [
        (name, entry.pinned)
        for name, entry in after.items()
        if name in before and before[name].pinned != entry.pinned
    ]
