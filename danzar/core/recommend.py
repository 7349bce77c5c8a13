"""What to do about the cards' memory, in sentences with numbers. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from danzar.core.book import Reservation
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import device_title, process_title
from danzar.core.pressure import PressureRules
from danzar.core.vision_device import CHAT, NO_GPU, VisionChoice
from danzar.units import format_gib

ALL_WELL = "All GPU devices have adequate memory"
NO_CARD = "No GPU was found: models run on the CPU. Run `danzar doctor` to see why"


@dataclass(frozen=True, slots=True)
class _Holder:
    name: str
    size_bytes: int
    ours: bool


def recommend(
    devices: Sequence[DeviceMemory], rules: PressureRules, vision: VisionChoice
) -> list[str]:
    """One sentence per thing to do, most pressing device first; never empty."""
    gpus = [d for d in devices if d.snapshot.kind is DeviceKind.CUDA]
    if not gpus:
        return [NO_CARD]
    advice = [line for gpu in gpus for line in _for_device(gpu, rules)]
    if vision.reason.startswith(NO_GPU):
        advice.append(_without_gpu(vision))
    return advice or [ALL_WELL]


def describe_pressure(device: DeviceMemory) -> str:
    """How full the device is and who holds most of it, for an alert."""
    free_bytes, pct = device.free_bytes, device.reserved_pct
    title = device_title(device.snapshot)
    if free_bytes is None or pct is None or device.reserved_bytes is None:
        return f"{title} does not say how much memory is free"
    figures = (
        f"{title}: {format_gib(device.reserved_bytes)} of {format_gib(device.total_bytes)} "
        f"in use ({pct:.1f}%), {format_gib(free_bytes)} free"
    )
    holder = _largest_holder(device)
    if holder is None:
        return figures
    return f"{figures}; {holder.name} holds {format_gib(holder.size_bytes)}"


def what_to_do(device: DeviceMemory) -> str:
    """How to make room on a full device."""
    holder = _largest_holder(device)
    if holder is None:
        return "Close other GPU-intensive applications"
    if holder.ours:
        return "Choose a smaller model or a shorter context in config/models.yaml"
    return f"Close {holder.name} or lower its graphics settings"


def _for_device(device: DeviceMemory, rules: PressureRules) -> list[str]:
    free_bytes, pct = device.free_bytes, device.reserved_pct
    title = device_title(device.snapshot)
    if free_bytes is None or pct is None:
        return [f"{title} does not say how much memory is free, so no model is placed on it"]
    if pct > rules.warning_pct or free_bytes < min(rules.low_free_bytes, device.total_bytes):
        return [f"{describe_pressure(device)}. {what_to_do(device)}"]
    return [
        f"{title}: {short}. {what_to_do(device)}"
        for short in (_broken(device, r, free_bytes) for r in device.reservations)
        if short
    ]


def _broken(device: DeviceMemory, reservation: Reservation, free_bytes: int) -> str | None:
    missing_bytes = device.unfilled_bytes(reservation) - free_bytes
    if missing_bytes <= 0:
        return None
    whose = "main LLM" if reservation.purpose == CHAT else reservation.purpose
    return (
        f"the {format_gib(reservation.size_bytes)} reservation for {whose} can't be filled: "
        f"{format_gib(device.held_bytes(reservation.purpose))} taken, {format_gib(free_bytes)} "
        f"free, {format_gib(missing_bytes)} missing"
    )


def _without_gpu(vision: VisionChoice) -> str:
    if vision.device_uuid is None:
        return f"{vision.reason}: vision can't load. Close other GPU-intensive applications"
    return (
        f"{NO_GPU} for vision, so it uses the CPU. "
        "Close other GPU-intensive applications to bring it back"
    )


def _largest_holder(device: DeviceMemory) -> _Holder | None:
    ours = [_Holder(f"Danzar's {x.model}", x.size_bytes, ours=True) for x in device.leases]
    others = [
        _Holder(process_title(p), p.used_bytes, ours=False)
        for p in device.foreign
        if p.used_bytes is not None
    ]
    return max((*others, *ours), key=lambda h: h.size_bytes, default=None)
