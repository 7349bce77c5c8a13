"""Whether more was booked or committed on a device than it has. Pure; there should be none."""

from collections.abc import Iterator

from danzar.core.book import LeaseState
from danzar.core.events import StartLoad
from danzar.core.scheduler import Scheduler
from danzar.simulate.machine import Machine


def over_booked(scheduler: Scheduler, load: StartLoad) -> Iterator[str]:
    """Devices on which all claims exceed what was free when last measured; one sentence each."""
    for share in load.placed.shares:
        device = scheduler.state.device(share.device_uuid)
        claimed = _leased_bytes(scheduler, share.device_uuid, claimed=True)
        if device is not None and device.free_bytes is not None and claimed > device.free_bytes:
            yield f"{load.model} booked on {device.label}: {claimed} of {device.free_bytes} bytes"


def over_committed(scheduler: Scheduler, machine: Machine, load: StartLoad) -> Iterator[str]:
    """Devices whose leases and other programs exceed their capacity; one sentence each."""
    for share in load.placed.shares:
        uuid = share.device_uuid
        held = _leased_bytes(scheduler, uuid, claimed=False) + machine.foreign_bytes(uuid)
        if held > machine.total_bytes(uuid):
            yield f"{load.model} committed on {uuid}: {held} of {machine.total_bytes(uuid)} bytes"


def _leased_bytes(scheduler: Scheduler, uuid: str, *, claimed: bool) -> int:
    return sum(
        lease.size_bytes
        for lease in scheduler.ledger.leases_on(uuid)
        if (lease.state is LeaseState.CLAIMED) == claimed
    )
