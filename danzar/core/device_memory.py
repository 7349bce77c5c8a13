"""One device's memory as people ask about it: who holds what, and what is kept. Pure.

total = free + reserved
reserved = what the driver will not hand out any more
allocated = the part of reserved that processes hold; the rest is the driver's own
own + foreign = in use; foreign is everything that Danzar's leases do not explain
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from danzar.core.book import Lease, LeaseState, Reservation
from danzar.core.device import DeviceSnapshot, ProcessUse
from danzar.core.room import Room


class LedgerView(Protocol):
    """What the cards' face reads from the ledger."""

    def leases_on(self, device_uuid: str) -> Sequence[Lease]:
        """The leases of one device."""
        ...

    def reservations_on(self, device_uuid: str) -> Sequence[Reservation]:
        """The reservations of one device."""
        ...

    def room(self, snapshot: DeviceSnapshot) -> Room:
        """What one device has room for."""
        ...


@dataclass(frozen=True, slots=True)
class DeviceMemory:
    """One device's figures in bytes and percent; ``None`` means unknown, never zero.

    Attributes:
        snapshot: What the driver measured.
        own: Danzar's processes on it.
        foreign: Other programs' processes on it, those that hold most first, unknown ones last.
    """

    snapshot: DeviceSnapshot
    leases: tuple[Lease, ...]
    reservations: tuple[Reservation, ...]
    own: tuple[ProcessUse, ...]
    foreign: tuple[ProcessUse, ...]

    @property
    def total_bytes(self) -> int:
        """Capacity."""
        return self.snapshot.total_bytes

    @property
    def free_bytes(self) -> int | None:
        """What the driver would still hand out."""
        return self.snapshot.free_bytes

    @property
    def reserved_bytes(self) -> int | None:
        """What is not free: held by processes or by the driver itself."""
        free_bytes = self.snapshot.free_bytes
        return None if free_bytes is None else max(0, self.total_bytes - free_bytes)

    @property
    def allocated_bytes(self) -> int | None:
        """What processes hold, Danzar's and others'; all that is reserved where they do not say."""
        reserved_bytes = self.reserved_bytes
        others_bytes = _sum_bytes(self.foreign)
        if reserved_bytes is None or others_bytes is None or not (self.own or self.foreign):
            return reserved_bytes
        return min(self.own_bytes + others_bytes, reserved_bytes)

    @property
    def reserved_pct(self) -> float | None:
        """Share of the capacity that is not free, 0 to 100: the seed's "Utilization"."""
        reserved_bytes = self.reserved_bytes
        if reserved_bytes is None or self.total_bytes <= 0:
            return None
        return 100 * reserved_bytes / self.total_bytes

    @property
    def own_bytes(self) -> int:
        """What Danzar holds: measured by process where the driver says, else by its leases."""
        measured_bytes = _sum_bytes(self.own) if self.own else None
        if measured_bytes is not None:
            return measured_bytes
        return sum(x.size_bytes for x in self.leases if x.state is not LeaseState.CLAIMED)

    @property
    def foreign_bytes(self) -> int | None:
        """In use and not Danzar's: other programs, and what the driver keeps for itself."""
        used_bytes = self.snapshot.used_bytes
        return None if used_bytes is None else max(0, used_bytes - self.own_bytes)

    def held_bytes(self, purpose: str) -> int:
        """What the leases of one purpose have booked."""
        return sum(x.size_bytes for x in self.leases if x.purpose == purpose)

    def unfilled_bytes(self, reservation: Reservation) -> int:
        """The part of a reservation that its purpose has not taken yet."""
        return max(0, reservation.size_bytes - self.held_bytes(reservation.purpose))

    def free_for_bytes(self, purpose: str) -> int | None:
        """Free, less loads in flight and what is kept for other purposes; negative if short."""
        if self.snapshot.free_bytes is None:
            return None
        in_flight = sum(x.size_bytes for x in self.leases if x.state is LeaseState.CLAIMED)
        kept = sum(self.unfilled_bytes(r) for r in self.reservations if r.purpose != purpose)
        return self.snapshot.free_bytes - in_flight - kept


def describe_memory(
    snapshot: DeviceSnapshot, ledger: LedgerView, own_pids: Collection[int]
) -> DeviceMemory:
    """The device's figures, read from the newest snapshot and the book."""
    listed = sorted(snapshot.processes, key=_largest_first)
    return DeviceMemory(
        snapshot=snapshot,
        leases=tuple(ledger.leases_on(snapshot.uuid)),
        reservations=tuple(ledger.reservations_on(snapshot.uuid)),
        own=tuple(p for p in listed if p.pid in own_pids),
        foreign=tuple(p for p in listed if p.pid not in own_pids),
    )


def _sum_bytes(processes: Sequence[ProcessUse]) -> int | None:
    sizes = [p.used_bytes for p in processes]
    known = [size for size in sizes if size is not None]
    return sum(known) if len(known) == len(sizes) else None


def _largest_first(process: ProcessUse) -> tuple[bool, int, int]:
    return (process.used_bytes is None, -(process.used_bytes or 0), process.pid)
