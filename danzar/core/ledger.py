"""The one book of leases, kept by the scheduler. Pure: no I/O, and values come out of it."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from danzar.core.book import Book, Lease, LeaseState, Limit, Margins, Reservation
from danzar.core.device import DeviceSnapshot
from danzar.core.room import Room, rooms_of

NO_MARGINS = Margins(cuda_bytes=0, host_bytes=0)


class Ledger:
    """Owned by the scheduler; others get copies of its rows."""

    def __init__(
        self,
        reservations: Iterable[Reservation] = (),
        budgets_bytes: Mapping[str, int] | None = None,
        margins: Margins = NO_MARGINS,
        limits: Iterable[Limit] = (),
    ) -> None:
        """Start an empty book.

        Args:
            reservations: At most one per device and purpose.
            budgets_bytes: The most a purpose may lease on any one GPU.
            margins: Left free on every device.
            limits: The most that Danzar may lease, at most one per device.
        """
        self._reservations = tuple(reservations)
        self._budgets_bytes = tuple((budgets_bytes or {}).items())
        self._limits = tuple(limits)
        self._margins = margins
        self._leases: dict[int, Lease] = {}
        self._next_id = 1

    @property
    def book(self) -> Book:
        """Everything that stands in it now."""
        return Book(
            self._reservations,
            self._budgets_bytes,
            self._limits,
            self._margins,
            tuple(self._leases.values()),
        )

    def room(self, snapshot: DeviceSnapshot) -> Room:
        """What one device has room for."""
        return rooms_of(self.book, (snapshot,))[snapshot.uuid]

    def claim(self, model: str, purpose: str, device_uuid: str, size_bytes: int) -> Lease:
        """Book bytes for a load that is about to start."""
        lease = Lease(self._next_id, model, purpose, device_uuid, size_bytes, LeaseState.CLAIMED)
        self._next_id += 1
        return self._put(lease)

    def commit(self, lease_id: int, measured_bytes: int | None) -> Lease:
        """Turn a claim into a resident lease of its measured size (``None``: as estimated)."""
        lease = self._leases[lease_id]
        size = lease.size_bytes if measured_bytes is None else measured_bytes
        return self._put(replace(lease, size_bytes=size, state=LeaseState.RESIDENT))

    def begin_release(self, lease_id: int) -> Lease:
        """Note that an unload has begun; the bytes are not free yet."""
        return self._put(replace(self._leases[lease_id], state=LeaseState.RELEASING))

    def quarantine(self, lease_id: int, lost_bytes: int) -> Lease:
        """Note that the model is gone, but ``lost_bytes`` of its lease did not come back."""
        lease = self._leases[lease_id]
        return self._put(replace(lease, size_bytes=lost_bytes, state=LeaseState.QUARANTINED))

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

    def set_rules(
        self,
        budgets_bytes: Mapping[str, int],
        margins: Margins,
        limits: Iterable[Limit],
    ) -> None:
        """Replace what the owner configured; leases stay as they are."""
        self._budgets_bytes = tuple(budgets_bytes.items())
        self._margins = margins
        self._limits = tuple(limits)

    def _put(self, lease: Lease) -> Lease:
        self._leases[lease.lease_id] = lease
        return lease
