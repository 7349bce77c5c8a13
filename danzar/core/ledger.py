"""Who may use which bytes of which device: reservations, budgets and leases. Pure.

headroom = min(measured free - loads in flight - other purposes' unfilled reservations - margin,
               budget - leases of the purpose)
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum

from danzar.core.device import DeviceKind, DeviceSnapshot


class LeaseState(StrEnum):
    """Whether the bytes are about to be taken, taken, or about to come back."""

    CLAIMED = "claimed"
    RESIDENT = "resident"
    RELEASING = "releasing"


@dataclass(frozen=True, slots=True)
class Lease:
    """Bytes booked for one loaded (or loading) model on one device.

    Attributes:
        size_bytes: Estimated while claimed, measured once resident where that is known.
        purpose: ``chat`` or ``vision``; what reservations and budgets count by.
    """

    lease_id: int
    model: str
    purpose: str
    device_uuid: str
    size_bytes: int
    state: LeaseState


@dataclass(frozen=True, slots=True)
class Reservation:
    """Bytes kept free for a purpose on one device, whether or not it is loaded."""

    device_uuid: str
    purpose: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Margins:
    """What is left alone on every device, beyond reservations."""

    cuda_bytes: int
    host_bytes: int

    def on(self, snapshot: DeviceSnapshot) -> int:
        """The margin of this device, bytes."""
        return self.host_bytes if snapshot.kind is DeviceKind.CPU else self.cuda_bytes


class Ledger:
    """The one book of leases. Owned by the scheduler; others get copies of its rows."""

    def __init__(
        self,
        reservations: Iterable[Reservation] = (),
        budgets_bytes: dict[str, int] | None = None,
        margins: Margins = Margins(cuda_bytes=0, host_bytes=0),
    ) -> None:
        """Start an empty book.

        Args:
            reservations: At most one per device and purpose.
            budgets_bytes: The most a purpose may lease on any one GPU.
            margins: Left free on every device.
        """
        self._reservations = tuple(reservations)
        self._budgets_bytes = dict(budgets_bytes or {})
        self._margins = margins
        self._leases: dict[int, Lease] = {}
        self._next_id = 1

    def claim(self, model: str, purpose: str, device_uuid: str, size_bytes: int) -> Lease:
        """Book bytes for a load that is about to start."""
        lease = Lease(self._next_id, model, purpose, device_uuid, size_bytes, LeaseState.CLAIMED)
        self._next_id += 1
        self._leases[lease.lease_id] = lease
        return lease

    def commit(self, lease_id: int, measured_bytes: int | None) -> Lease:
        """Turn a claim into a resident lease of its measured size (``None``: as estimated)."""
        lease = self._leases[lease_id]
        size = lease.size_bytes if measured_bytes is None else measured_bytes
        return self._put(replace(lease, size_bytes=size, state=LeaseState.RESIDENT))

    def begin_release(self, lease_id: int) -> Lease:
        """Note that an unload has begun; the bytes are not free yet."""
        return self._put(replace(self._leases[lease_id], state=LeaseState.RELEASING))

    def release(self, lease_id: int) -> None:
        """Strike the lease out: the process is gone or the driver shows the bytes back."""
        del self._leases[lease_id]

    def lease(self, lease_id: int) -> Lease:
        """One lease."""
        return self._leases[lease_id]

    def leases(self) -> tuple[Lease, ...]:
        """All leases, oldest first."""
        return tuple(self._leases.values())

    def leases_on(self, device_uuid: str) -> tuple[Lease, ...]:
        """The leases of one device, oldest first."""
        return tuple(x for x in self._leases.values() if x.device_uuid == device_uuid)

    def reservations_on(self, device_uuid: str) -> tuple[Reservation, ...]:
        """The reservations of one device."""
        return tuple(r for r in self._reservations if r.device_uuid == device_uuid)

    def set_reservations(self, reservations: Iterable[Reservation]) -> None:
        """Replace all reservations (devices were discovered, or the owner changed them)."""
        self._reservations = tuple(reservations)

    def headroom_bytes(self, snapshot: DeviceSnapshot, purpose: str) -> int | None:
        """What a new lease of ``purpose`` may take; negative when overbooked, ``None`` unknown."""
        if snapshot.free_bytes is None:
            return None
        free = (
            snapshot.free_bytes
            - self._in_flight_bytes(snapshot.uuid)
            - self._kept_for_others_bytes(snapshot.uuid, purpose)
            - self._margins.on(snapshot)
        )
        budget = self._budgets_bytes.get(purpose)
        if budget is None or snapshot.kind is DeviceKind.CPU:
            return free
        return min(free, budget - self._held_bytes(snapshot.uuid, purpose))

    def releasing_on(self, device_uuid: str) -> tuple[int, ...]:
        """Ids of the leases whose unloads have begun."""
        return tuple(
            x.lease_id for x in self.leases_on(device_uuid) if x.state is LeaseState.RELEASING
        )

    def gain_bytes(self, device_uuid: str, lease_ids: Collection[int], purpose: str) -> int:
        """How much headroom ``purpose`` wins on a device when these leases go.

        Less than their size where another purpose's reservation would grow back by it.
        """
        gone = [self._leases[i] for i in lease_ids]
        own = sum(x.size_bytes for x in gone if x.purpose == purpose)
        others = {x.purpose for x in gone} - {purpose}
        return own + sum(self._gain_from(device_uuid, gone, other) for other in others)

    def _gain_from(self, device_uuid: str, gone: list[Lease], other: str) -> int:
        leaving = sum(x.size_bytes for x in gone if x.purpose == other)
        held = self._held_bytes(device_uuid, other)
        reserved = sum(
            r.size_bytes for r in self.reservations_on(device_uuid) if r.purpose == other
        )
        return max(held, reserved) - max(held - leaving, reserved)

    def _put(self, lease: Lease) -> Lease:
        self._leases[lease.lease_id] = lease
        return lease

    def _in_flight_bytes(self, device_uuid: str) -> int:
        return sum(
            x.size_bytes for x in self.leases_on(device_uuid) if x.state is LeaseState.CLAIMED
        )

    def _held_bytes(self, device_uuid: str, purpose: str) -> int:
        return sum(x.size_bytes for x in self.leases_on(device_uuid) if x.purpose == purpose)

    def _kept_for_others_bytes(self, device_uuid: str, purpose: str) -> int:
        return sum(
            max(0, r.size_bytes - self._held_bytes(device_uuid, r.purpose))
            for r in self.reservations_on(device_uuid)
            if r.purpose != purpose
        )
