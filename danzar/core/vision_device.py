"""Which device vision models should use, with a reason for each that was considered. Pure.

1. the vision device, 2. the chat model's device if its reservation stays whole, 3. any other GPU,
most free first, 4. the CPU. A GPU whose free memory is unknown never hosts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from danzar.core.device import CPU_UUID, DeviceKind, matches_device
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import device_title
from danzar.units import format_gib

VISION = "vision"
CHAT = "chat"
NO_GPU = "No GPU devices available with sufficient memory"


@dataclass(frozen=True, slots=True)
class VisionRules:
    """The owner's wishes.

    Attributes:
        vision_device: First choice (``cuda:N``, a UUID or ``cpu``).
        main_llm_device: The chat model's device, tried second.
        memory_limit_bytes: The most that vision may hold on one GPU.
        threshold_bytes: A GPU that leaves vision less than this is not used.
        margin_bytes: Left free on every GPU, beyond reservations.
        fallback_to_cpu: Whether the CPU may host vision when no GPU can.
    """

    vision_device: str
    main_llm_device: str
    memory_limit_bytes: int
    threshold_bytes: int
    margin_bytes: int = 0
    fallback_to_cpu: bool = True


@dataclass(frozen=True, slots=True)
class Considered:
    """One device's verdict."""

    device_uuid: str
    label: str
    usable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class VisionChoice:
    """The chosen device, or none.

    Attributes:
        device_uuid: ``None`` when nothing may host vision now.
        label: ``cuda:N`` or ``cpu``; ``None`` when nothing may.
        considered: Every device with its verdict, in the order of preference.
    """

    device_uuid: str | None
    label: str | None
    reason: str
    considered: tuple[Considered, ...]


def choose_vision_device(
    devices: Sequence[DeviceMemory], rules: VisionRules, *, needed_bytes: int = 0
) -> VisionChoice:
    """The device for a vision model that needs ``needed_bytes`` more than vision holds now."""
    considered = tuple(
        judge_device(d, rules, needed_bytes=needed_bytes) for d in _in_order(devices, rules)
    )
    for verdict in considered:
        if verdict.usable:
            return VisionChoice(verdict.device_uuid, verdict.label, verdict.reason, considered)
    return _on_cpu(devices, rules, needed_bytes, considered)


def judge_device(device: DeviceMemory, rules: VisionRules, *, needed_bytes: int = 0) -> Considered:
    """Whether one GPU can take ``needed_bytes`` more for vision, and why."""
    refusal = _refusal(device, rules, needed_bytes)
    return Considered(
        device.snapshot.uuid,
        device.snapshot.label,
        refusal is None,
        refusal or _available_text(device),
    )


def _refusal(device: DeviceMemory, rules: VisionRules, needed_bytes: int) -> str | None:
    title = device_title(device.snapshot)
    free_bytes, left_bytes = device.free_bytes, device.free_for_bytes(VISION)
    if free_bytes is None or left_bytes is None:
        return f"{title} does not say how much memory is free"
    wanted_bytes = max(rules.threshold_bytes, needed_bytes)
    held_bytes = device.held_bytes(VISION)
    if held_bytes + needed_bytes > rules.memory_limit_bytes:
        return (
            f"{title} would exceed the vision limit: {format_gib(held_bytes)} held "
            f"+ {format_gib(needed_bytes)} needed > {format_gib(rules.memory_limit_bytes)}"
        )
    if left_bytes - rules.margin_bytes >= wanted_bytes:
        return None
    if free_bytes - rules.margin_bytes >= wanted_bytes:
        return _reserved_text(device, left_bytes, wanted_bytes)
    return f"{title} has {format_gib(free_bytes)} free, {format_gib(wanted_bytes)} needed"


def _available_text(device: DeviceMemory) -> str:
    free = format_gib(device.free_bytes or 0)
    text = f"{device_title(device.snapshot)} available with {free} free"
    kept_bytes, whose = _kept_for_others(device)
    return text if kept_bytes == 0 else f"{text}, {format_gib(kept_bytes)} of it kept for {whose}"


def _reserved_text(device: DeviceMemory, left_bytes: int, wanted_bytes: int) -> str:
    kept_bytes, whose = _kept_for_others(device)
    if kept_bytes == 0:
        return f"{device_title(device.snapshot)} has loads in flight that take its free memory"
    return (
        f"Device {device.snapshot.index} reserved for {whose}: of "
        f"{format_gib(device.free_bytes or 0)} free, {format_gib(kept_bytes)} are kept, "
        f"which leaves {format_gib(max(0, left_bytes))} of {format_gib(wanted_bytes)} needed"
    )


def _kept_for_others(device: DeviceMemory) -> tuple[int, str]:
    """The bytes that others' reservations have yet to take, and the others' name."""
    others = {
        r.purpose: device.unfilled_bytes(r)
        for r in device.reservations
        if r.purpose != VISION and device.unfilled_bytes(r) > 0
    }
    names = ("main LLM" if purpose == CHAT else purpose for purpose in others)
    return sum(others.values()), " and ".join(names)


def _in_order(devices: Sequence[DeviceMemory], rules: VisionRules) -> list[DeviceMemory]:
    if rules.vision_device == CPU_UUID:
        return []
    gpus = [d for d in devices if d.snapshot.kind is DeviceKind.CUDA]
    return sorted(gpus, key=lambda d: _rank(d, rules))


def _rank(device: DeviceMemory, rules: VisionRules) -> tuple[int, int, int, str]:
    snapshot = device.snapshot
    wanted = (rules.vision_device, rules.main_llm_device)
    place = next((i for i, name in enumerate(wanted) if matches_device(snapshot, name)), 2)
    return (place, -(device.free_for_bytes(VISION) or 0), snapshot.index, snapshot.uuid)


def _on_cpu(
    devices: Sequence[DeviceMemory],
    rules: VisionRules,
    needed_bytes: int,
    considered: tuple[Considered, ...],
) -> VisionChoice:
    if rules.vision_device == CPU_UUID:
        return VisionChoice(CPU_UUID, "cpu", "Vision is set to run on the CPU", considered)
    if not rules.fallback_to_cpu:
        reason = f"{NO_GPU}, and fallback_to_cpu is off"
        return VisionChoice(None, None, reason, considered)
    host = next((d for d in devices if d.snapshot.kind is DeviceKind.CPU), None)
    left_bytes = host.free_for_bytes(VISION) if host else None
    if left_bytes is not None and left_bytes < needed_bytes:
        reason = (
            f"{NO_GPU}, and the CPU has {format_gib(left_bytes)} free, "
            f"{format_gib(needed_bytes)} needed"
        )
        return VisionChoice(None, None, reason, considered)
    return VisionChoice(CPU_UUID, "cpu", NO_GPU, considered)
