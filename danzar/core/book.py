"""Who may use which bytes of which device, as values: leases, reservations, limits. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from danzar.core.device import DeviceKind, DeviceSnapshot

WARM_PURPOSE = "warm"
"""Of what is kept in host RAM for quicker loads: it leaves at once for anything else."""


class LeaseState(StrEnum):
    """Whether the bytes are about to be taken, taken, about to come back, or lost.

    Quarantined bytes were not given back although their model is gone: nobody may use them until
    the driver shows them free.
    """

    CLAIMED = "claimed"
    RESIDENT = "resident"
    RELEASING = "releasing"
    QUARANTINED = "quarantined"


@dataclass(frozen=True, slots=True)
class Lease:
    """Bytes booked for one loaded (or loading) model on one device.

    Attributes:
        size_bytes: Estimated while claimed, measured once resident where that is known.
        purpose: ``chat`` or ``vision``, what reservations and budgets count by; or ``warm``.
    """

    lease_id: int
    model: str
    purpose: str
    device_uuid: str
    size_bytes: int
    state: LeaseState

    @property
    def title(self) -> str:
        """What it is for, as people read it."""
        return f"warm {self.model}" if self.purpose == WARM_PURPOSE else self.model


@dataclass(frozen=True, slots=True)
class Reservation:
    """Bytes kept free for a purpose on one device, whether or not it is loaded.

    A purpose that no model has (``games``) keeps the bytes from everyone.
    """

    device_uuid: str
    purpose: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that Danzar may lease on one device, all purposes together."""

    device_uuid: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Margins:
    """What is left alone on every device, beyond reservations."""

    cuda_bytes: int
    host_bytes: int

    def on(self, snapshot: DeviceSnapshot) -> int:
        """The margin of this device, bytes."""
        return self.host_bytes if snapshot.kind is DeviceKind.CPU else self.cuda_bytes


@dataclass(frozen=True, slots=True)
class Book:
    """Everything that is booked or kept, at one moment.

    Attributes:
        reservations: At most one per device and purpose.
        budgets_bytes: ``(purpose, bytes)``: the most a purpose may lease on any one GPU.
        limits: At most one per device.
        leases: Oldest first.
    """

    reservations: tuple[Reservation, ...] = ()
    budgets_bytes: tuple[tuple[str, int], ...] = ()
    limits: tuple[Limit, ...] = ()
    margins: Margins = Margins(cuda_bytes=0, host_bytes=0)
    leases: tuple[Lease, ...] = ()
