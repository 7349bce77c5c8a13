"""An explanation in sentences, without markup. Pure."""

from collections.abc import Iterable

from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.plan import (
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    WaitForIdle,
    WaitForRelease,
)
from danzar.core.variant import Rung
from danzar.explain.model_text import amount, rung_text
from danzar.explain.plan_explain import DeviceRoom, Leaving, Verdict, Weighed


def outcome_text(
    model: str, plan: Plan, devices: Iterable[DeviceSnapshot], *, dry_run: bool = False
) -> str:
    """What was decided (or would be), in a few words: ``yolo runs on cuda:1 (simulated)``."""
    match plan:
        case PlacedOn():
            return f"{model} {'would run' if dry_run else 'runs'} {_where(plan, devices)}"
        case NeedsEviction(_, victims, _):
            verb = "would leave" if dry_run else "had to leave"
            return f"{', '.join(victims)} {verb} to make room for {model}"
        case WaitForRelease() | WaitForIdle():
            return f"{model} {'would wait' if dry_run else 'waits'}"
        case Impossible():
            return f"{model} {'would be refused' if dry_run else 'was refused'}"


def reason_text(plan: Plan) -> str:
    """The planner's own sentence; the one for people where it runs worse than configured."""
    if isinstance(plan, PlacedOn) and plan.degraded:
        return plan.degraded
    return plan.reason if plan.reason.endswith((".", "!")) else f"{plan.reason}."


def way_title(row: Weighed) -> str:
    """What all rows of one way have in common."""
    if row.rung is Rung.CPU:
        return f"on the CPU {row.loss}".strip()
    return row.loss or rung_text(row.rung)


def way_text(row: Weighed) -> str:
    """One row: ``9.2GB needed, room for 3.1GB: short by 6.1GB``."""
    room = "an unknown amount free" if row.room_bytes is None else _room(row.room_bytes)
    return f"{amount(row.needed_bytes)} needed, {room}{_verdict(row)}"


def device_text(device: DeviceRoom) -> str:
    """How a device's room comes about: ``11.7GB free of 12.0GB - 8.0GB kept for chat = ...``."""
    if device.room_bytes is None or device.free_bytes is None:
        return f"{amount(device.total_bytes)}; the driver does not say what is free"
    loading = device.in_flight_bytes - device.others_bytes - device.promised_bytes
    taken = [
        *([f"{amount(loading)} loading"] if loading else []),
        *([f"{amount(device.promised_bytes)} for older requests"] if device.promised_bytes else []),
        *([f"{amount(device.others_bytes)} left to other programs"] if device.others_bytes else []),
        *(f"{amount(size)} kept for {purpose}" for purpose, size in device.kept),
        *([f"{amount(device.margin_bytes)} margin"] if device.margin_bytes else []),
    ]
    sums = "".join(f" - {part}" for part in taken)
    caps = _caps(device)
    free = f"{amount(device.free_bytes)} free of {amount(device.total_bytes)}"
    if device.warm_bytes:
        free += f" + {amount(device.warm_bytes)} kept warm, which leaves at once"
    return f"{free}{sums}{caps} → {_room(device.room_bytes)}"


def leaving_text(left: Leaving) -> str:
    """``clip: 1.2GB back; reload 2.0 s x 14 % wanted soon = 0.3 s expected``."""
    return (
        f"{left.model}: {amount(left.size_bytes)} back; reload {left.reload_s:.1f} s x "
        f"{100 * left.use_probability:.0f} % wanted soon = {left.cost_s:.1f} s expected"
    )


def _where(plan: PlacedOn, devices: Iterable[DeviceSnapshot]) -> str:
    if plan.rung is Rung.CPU:
        return "on the CPU"
    known = {device.uuid: device for device in devices}
    gpus = [known[s.device_uuid] for s in plan.shares if s.device_uuid in known]
    gpus = [device for device in gpus if device.kind is DeviceKind.CUDA]
    mark = " (simulated)" if any(device.simulated for device in gpus) else ""
    how = "" if plan.rung is Rung.FULL else f" {rung_text(plan.rung)}"
    return f"on {' + '.join(device.label for device in gpus)}{mark}{how}"


def _room(size_bytes: int) -> str:
    return f"room for {amount(size_bytes)}" if size_bytes > 0 else "no room"


def _caps(device: DeviceRoom) -> str:
    """The limit and the budget, where they and not the memory decide."""
    free = (device.free_bytes or 0) - device.in_flight_bytes
    limit, budget = device.limit_left_bytes, device.budget_left_bytes
    caps = [
        *([f"limit leaves {amount(limit)}"] if limit is not None and limit < free else []),
        *([f"budget leaves {amount(budget)}"] if budget is not None and budget < free else []),
    ]
    return f" ({', '.join(caps)})" if caps else ""


_FIXED = {
    Verdict.FITS: "",
    Verdict.RELEASE: ": once the unloads under way are done",
    Verdict.TOO_FULL: ": too little is free there",
    Verdict.RAN_OUT: ": a load of that size ran out of memory there lately",
    Verdict.UNKNOWN: ": not used",
}


def _verdict(row: Weighed) -> str:
    if row.verdict is Verdict.EVICT:
        return f": once {', '.join(row.models)} left"
    if row.verdict is Verdict.BUSY:
        return f": once {', '.join(row.models)} can leave"
    if row.verdict is not Verdict.SHORT:
        return _FIXED[row.verdict]
    short = row.needed_bytes - (row.room_bytes or 0)
    return f": short by {amount(short)}" if short > 0 else ": no"
