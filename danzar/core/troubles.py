"""What is wrong with a device besides being full: heat, lost bytes, a broken reservation. Pure.

Each is one observation for ``danzar.core.incident``, so that people hear of it once.
"""

from dataclasses import replace

from danzar.core.book import LeaseState, Reservation
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import device_title
from danzar.core.incident import Observation
from danzar.core.pressure import Level
from danzar.units import format_gib

# A card that was hot is hot until it has cooled down by this much.
_COOLED_BY_C = 5.0
# Less than this share of a reservation missing is not worth a message.
_MISSED_SHARE = 0.1


def observe_troubles(
    device: DeviceMemory, open_keys: frozenset[str], hot_c: float, *, is_full: bool = False
) -> tuple[Observation, ...]:
    """One observation for each kind of trouble.

    Args:
        device: A GPU's newest figures.
        open_keys: Of the incidents that last, for what is left later than it is entered.
        hot_c: At this temperature a card is called hot.
        is_full: People are told that it is full; that a reservation suffers is no second message.
    """
    kept = [_kept(device, r) for r in device.reservations]
    if is_full:
        kept = [replace(seen, level=None) for seen in kept]
    return (_heat(device, open_keys, hot_c), _lost(device), *kept)


def _heat(device: DeviceMemory, open_keys: frozenset[str], hot_c: float) -> Observation:
    key, measured_c = f"heat:{device.snapshot.uuid}", device.snapshot.temperature_c
    if measured_c is None:
        return Observation(key, None, "")
    limit_c = hot_c - _COOLED_BY_C if key in open_keys else hot_c
    title = device_title(device.snapshot)
    if measured_c < limit_c:
        return Observation(key, Level.NORMAL, f"{title} has cooled down to {measured_c:.0f} °C")
    text = (
        f"{title} is {measured_c:.0f} °C hot; from {hot_c:.0f} °C on a card may slow itself down. "
        "See to its fans and the air in the case, or lower what runs on it"
    )
    return Observation(key, Level.WARNING, text)


def _lost(device: DeviceMemory) -> Observation:
    key, title = f"lost:{device.snapshot.uuid}", device_title(device.snapshot)
    lost = [x for x in device.leases if x.state is LeaseState.QUARANTINED]
    if not lost:
        return Observation(key, Level.NORMAL, f"{title}: all memory came back")
    names = ", ".join(sorted({x.model for x in lost}))
    size = format_gib(sum(x.size_bytes for x in lost))
    text = (
        f"{title}: {size} of {names} did not come back although its process is gone. Nothing uses "
        "them; if it stays so, restart the machine or reset the card (nvidia-smi --gpu-reset)"
    )
    return Observation(key, Level.CRITICAL, text)


def _kept(device: DeviceMemory, reservation: Reservation) -> Observation:
    """Whether what is kept for a purpose is still there for it."""
    key = f"kept:{device.snapshot.uuid}:{reservation.purpose}"
    title, free_bytes = device_title(device.snapshot), device.free_bytes
    if free_bytes is None:
        return Observation(key, None, "")
    missing_bytes = device.unfilled_bytes(reservation) - free_bytes
    if missing_bytes <= reservation.size_bytes * _MISSED_SHARE:
        return Observation(key, Level.NORMAL, f"{title} has what is kept for {reservation.purpose}")
    text = (
        f"{title}: other programs took {format_gib(missing_bytes)} of the "
        f"{format_gib(reservation.size_bytes)} kept for {reservation.purpose}. Until they give it "
        "back, models that need it run smaller, on another card or on the CPU"
    )
    return Observation(key, Level.WARNING, text)
