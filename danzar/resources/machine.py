"""What there is to generate on: cards and RAM as the ledger sees them, or as they are described."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from danzar.broker.model_view import ModelView
from danzar.core.book import LeaseState
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory, LedgerView

PURPOSE = "generation"


@dataclass(frozen=True, slots=True)
class DeviceRoom:
    """What one device has room for.

    Attributes:
        label: ``cuda:N`` or ``cpu``.
        room_bytes: Now, margins and reservations left whole; ``None`` unknown.
        after_idle_bytes: Once the idle models have left; never below ``room_bytes``.
        idle: Those models.
        compute_capability: ``8.9``, as the driver says; ``None`` where it does not.
    """

    label: str
    uuid: str
    name: str
    total_bytes: int
    room_bytes: int | None
    after_idle_bytes: int | None
    idle: tuple[str, ...] = ()
    simulated: bool = False
    compute_capability: str | None = None


class Machine(Protocol):
    """Where generations run."""

    def cards(self) -> tuple[DeviceRoom, ...]:
        """The cards, in PCI order; a figure that is too old to decide by is unknown."""
        ...

    def host(self) -> DeviceRoom | None:
        """The host's RAM; ``None`` where nothing is known of it."""
        ...

    def memory(self) -> tuple[DeviceMemory, ...]:
        """All that is known of every device."""
        ...


class Figures(Protocol):
    """The part of ``danzar.gpu_memory.GpuMemoryManager`` that is read here."""

    @property
    def stale_age_s(self) -> float | None:
        """Age of the figures when they are too old to decide by; ``None`` while fresh."""
        ...

    def devices(self) -> tuple[DeviceMemory, ...]:
        """All devices, cards first."""
        ...


class LiveMachine:
    """The machine that Danzar runs on, from the newest figures and the book. Never waits."""

    def __init__(
        self,
        figures: Figures,
        ledger: LedgerView,
        models: Callable[[], Sequence[ModelView]] = tuple,
        capabilities: Mapping[str, str] | None = None,
    ) -> None:
        """Read from others' figures; own nothing.

        Args:
            figures: ``gpu_mm``.
            ledger: The book of leases and reservations.
            models: Every model as it is now; those that are idle may leave.
            capabilities: Compute capabilities by UUID, as far as the driver told them.
        """
        self._figures = figures
        self._ledger = ledger
        self._models = models
        self._capabilities = capabilities or {}

    def cards(self) -> tuple[DeviceRoom, ...]:
        """The cards, in PCI order."""
        return tuple(
            self._room(device)
            for device in self._figures.devices()
            if device.snapshot.kind is DeviceKind.CUDA
        )

    def host(self) -> DeviceRoom | None:
        """The host's RAM."""
        found = (d for d in self._figures.devices() if d.snapshot.kind is DeviceKind.CPU)
        device = next(found, None)
        return None if device is None else self._room(device)

    def memory(self) -> tuple[DeviceMemory, ...]:
        """All devices as ``gpu_mm`` has them."""
        return self._figures.devices()

    def _room(self, device: DeviceMemory) -> DeviceRoom:
        snapshot = device.snapshot
        names = frozenset(model.name for model in self._models() if _may_leave(model))
        idle = [x for x in device.leases if x.model in names and x.state is LeaseState.RESIDENT]
        room = after = None
        if self._figures.stale_age_s is None:
            book = self._ledger.room(snapshot)
            room = book.headroom_bytes(PURPOSE)
            after = book.headroom_bytes(PURPOSE, frozenset(x.lease_id for x in idle))
        return DeviceRoom(
            label=snapshot.label,
            uuid=snapshot.uuid,
            name=snapshot.name,
            total_bytes=snapshot.total_bytes,
            room_bytes=room,
            after_idle_bytes=after if room is None or after is None else max(room, after),
            idle=tuple(x.model for x in idle),
            simulated=snapshot.simulated,
            compute_capability=self._capabilities.get(snapshot.uuid),
        )


@dataclass(frozen=True, slots=True)
class DescribedMachine:
    """A machine that is only described: one free card, and RAM."""

    card: DeviceRoom
    ram_bytes: int | None = None

    def cards(self) -> tuple[DeviceRoom, ...]:
        """The card."""
        return (self.card,)

    def host(self) -> DeviceRoom | None:
        """The RAM, where it was told."""
        ram = self.ram_bytes
        return None if ram is None else DeviceRoom("cpu", "cpu", "host RAM", ram, ram, ram)

    def memory(self) -> tuple[DeviceMemory, ...]:
        """Nothing was measured."""
        return ()


def described_card(name: str, total_bytes: int, kept_bytes: int) -> DeviceRoom:
    """A free card of that name; ``kept_bytes`` are left alone, as on a real one."""
    room = max(0, total_bytes - kept_bytes)
    return DeviceRoom("cuda:0", "described", name, total_bytes, room, room, simulated=True)


def _may_leave(model: ModelView) -> bool:
    """Whether the planner would let it go for a generation: loaded, idle, and not held on to."""
    busy = model.in_flight or model.waiting
    return model.is_loaded and not (busy or model.pinned or model.protected)
