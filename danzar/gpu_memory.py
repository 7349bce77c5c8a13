"""``gpu_mm``: what the cards hold and which one vision should use, from the newest figures.

Nothing here asks the driver: every answer is made from the sampler's last reading and the ledger,
so all methods return at once and may be called on the event loop.
"""

import logging
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Protocol

from danzar.broker.rules import monitor_rules
from danzar.config.settings import Config
from danzar.core.device import DeviceKind, DeviceSnapshot, find_device
from danzar.core.device_memory import DeviceMemory, LedgerView, describe_memory
from danzar.core.pressure import PressureRules
from danzar.core.recommend import recommend
from danzar.core.vision_device import (
    VisionChoice,
    VisionRules,
    choose_vision_device,
    judge_device,
)
from danzar.explain.memory_text import log_lines
from danzar.telemetry.sampler import Reading
from danzar.units import MIB, format_gib, gib_to_bytes

log = logging.getLogger(__name__)

# A purpose that has no reservation and no budget: all that is kept for others stays whole.
_ANY_PURPOSE = ""


class Figures(Protocol):
    """The part of ``danzar.telemetry.sampler.Sampler`` that is read here."""

    @property
    def reading(self) -> Reading:
        """The newest reading, good or not."""
        ...

    @property
    def is_stale(self) -> bool:
        """Whether the figures are too old to decide by."""
        ...

    def history(self, uuid: str) -> tuple[DeviceSnapshot, ...]:
        """The device's past, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class MemoryRules:
    """What the owner configured about the cards; at ``hot_c`` a card is called hot."""

    vision: VisionRules
    pressure: PressureRules
    hot_c: float = 80.0

    @classmethod
    def from_config(cls, config: Config) -> "MemoryRules":
        """The rules of ``vision_config.yaml`` and ``vram_config.yaml``."""
        memory, monitor = config.vision.gpu_memory, config.vram.monitor
        vision = VisionRules(
            vision_device=memory.vision_device,
            main_llm_device=memory.main_llm_device,
            memory_limit_bytes=gib_to_bytes(memory.vision_memory_limit_gb),
            threshold_bytes=gib_to_bytes(memory.cpu_fallback_threshold_gb),
            margin_bytes=config.vram.placement.margin,
            fallback_to_cpu=memory.fallback_to_cpu,
        )
        return cls(vision, monitor_rules(monitor), monitor.temperature_c)


class GpuMemoryManager:
    """The seed's memory manager, under the names that it gave."""

    def __init__(
        self,
        figures: Figures,
        ledger: LedgerView,
        rules: MemoryRules,
        *,
        own_pids: Callable[[], Collection[int]] = frozenset,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read from others' figures; own nothing.

        Args:
            figures: The sampler.
            ledger: Rows of leases and reservations, read on each call.
            rules: The owner's limits.
            own_pids: Process ids of Danzar's own workers; all others count as foreign.
            now_s: The clock of the readings.
        """
        self.rules = rules
        self._figures = figures
        self._ledger = ledger
        self._own_pids = own_pids
        self._now_s = now_s

    @property
    def figures_error(self) -> str | None:
        """Why the driver gave nothing at the last attempt; ``None`` when it answered."""
        return self._figures.reading.error

    @property
    def stale_age_s(self) -> float | None:
        """Age of the figures when they are too old to decide by; ``None`` while they are fresh.

        Infinite before the first figures came.
        """
        if not self._figures.is_stale:
            return None
        age_s = self._figures.reading.age_s(self._now_s())
        return float("inf") if age_s is None else age_s

    def devices(self) -> tuple[DeviceMemory, ...]:
        """All devices, GPUs in PCI order and then host RAM."""
        own_pids = self._own_pids()
        snapshots = self._figures.reading.snapshots
        return tuple(describe_memory(s, self._ledger, own_pids) for s in snapshots)

    def history(self, uuid: str) -> tuple[DeviceSnapshot, ...]:
        """A device's past, oldest first; bounded."""
        return self._figures.history(uuid)

    def vision_choice(self, needed_bytes: int = 0) -> VisionChoice:
        """Where vision should run, with a verdict for every GPU. Stale figures host nothing."""
        return choose_vision_device(
            self._trusted_devices(), self.rules.vision, needed_bytes=needed_bytes
        )

    # --- the seed's names ------------------------------------------------------------------

    def get_all_devices_memory_info(self) -> dict[str, DeviceMemory]:
        """Figures by ``cuda:N`` or ``cpu``, in bytes and percent; see ``DeviceMemory``."""
        return {d.snapshot.label: d for d in self.devices()}

    def get_best_vision_device(self) -> tuple[str | None, str]:
        """``("cuda:1", reason)``; the device is ``None`` when nothing may host vision."""
        choice = self.vision_choice()
        return choice.label, choice.reason

    def can_use_device_for_vision(self, device_id: int | str) -> tuple[bool, str]:
        """Whether a GPU (``1``, ``"cuda:1"`` or a UUID) can host vision now, and why."""
        wanted = f"cuda:{device_id}" if isinstance(device_id, int) else device_id
        devices = self._trusted_devices()
        found = find_device(tuple(d.snapshot for d in devices), wanted)
        if found is None:
            known = ", ".join(d.snapshot.label for d in devices) or "none"
            return False, f"There is no device {wanted}; known: {known}"
        if found.label == "cpu":
            allowed = self.rules.vision.fallback_to_cpu
            return allowed, f"fallback_to_cpu is {'on' if allowed else 'off'}"
        device = next(d for d in devices if d.snapshot is found)
        verdict = judge_device(device, self.rules.vision)
        return verdict.usable, verdict.reason

    def check_vram_availability(self, required_mb: float) -> tuple[bool, str]:
        """Whether a GPU has room for so many MiB, margins and reservations left whole; and why."""
        needed_bytes = round(required_mb * MIB)
        rooms = [
            (s.label, self._ledger.room(s).headroom_bytes(_ANY_PURPOSE))
            for s in (d.snapshot for d in self._trusted_devices())
            if s.kind is DeviceKind.CUDA
        ]
        known = [(label, room) for label, room in rooms if room is not None]
        if not known:
            return False, "No GPU says what is free; see !gpu status"
        label, room_bytes = max(known, key=lambda x: x[1])
        text = f"{label} has room for {format_gib(max(0, room_bytes))}"
        needed = f"{format_gib(needed_bytes)} are needed"
        return room_bytes >= needed_bytes, f"{text}, {needed}"

    def get_memory_recommendations(self) -> list[str]:
        """What to do about the cards' memory; one sentence that all is well when it is."""
        return recommend(self._trusted_devices(), self.rules.pressure, self.vision_choice())

    def log_memory_status(self) -> None:
        """Write the current state of all devices to the log, one line each."""
        for line in log_lines(self.devices(), self.history, self.stale_age_s):
            log.info("%s", line)
        for advice in self.get_memory_recommendations():
            log.info("gpu memory: %s", advice)

    def _trusted_devices(self) -> tuple[DeviceMemory, ...]:
        devices = self.devices()
        if self.stale_age_s is None:
            return devices
        return tuple(replace(d, snapshot=replace(d.snapshot, free_bytes=None)) for d in devices)
