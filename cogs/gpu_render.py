"""The cards as text: pure functions, in the seed's words. No Discord here."""

from collections.abc import Sequence

from danzar.core.book import WARM_PURPOSE, Lease
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.device_text import device_title, process_title, short_name
from danzar.core.vision_device import CHAT, NO_GPU, Considered, VisionChoice
from danzar.explain.memory_text import format_known, format_pct, format_stale
from danzar.explain.model_text import amount
from danzar.units import format_gib

STATUS_TITLE = "🎯 GPU Memory Status:"
VISION_TITLE = "👁️ Best Vision Device:"
ADVICE_TITLE = "💡 Recommendations:"
# Discord's limit for an embed's description is 4,096 characters.
LONGEST_TEXT = 4000
_LONGEST_ADVICE = 900
_SHOWN_PROCESSES = 3
_BAR_CELLS = 8

_COMMANDS = (
    ("status", "shows every GPU"),
    ("vision", "the best one for vision"),
    ("graph [MINUTES]", "the past as a picture"),
    ("models", "every model: where it is and what it holds"),
    ("plan MODEL", "where it would go now; touches nothing"),
    ("why MODEL", "why it is where it is"),
    ("history", "what was loaded, evicted and why"),
    ("prefetch", "what was loaded before anybody asked"),
    ("estimate t2v 720p 4s", "what a picture or a video would take, and what makes it fit"),
    ("nodes [MODEL]", "all machines, and which one would take a model"),
    ("load MODEL", "and `unload`, `pin`, `unpin` (operators)"),
    ("reserve cuda:0 6GB games", "keeps memory free; `reserve list`, `reserve clear` (operators)"),
    ("game 9GB 1", "a game on a simulated card, to see what happens (operators)"),
    ("set KEY VALUE", "changes a setting, now and in its file (operators)"),
    ("batch [N|auto]", "pictures that vision computes at once (operators)"),
    ("optimize", "gives back cached memory; `audit`: who changed what (operators)"),
    ("monitor", "switches alerts on or off (operators)"),
    ("log", "writes the figures to the log"),
)

_RESERVED_IS_NORMAL = (
    "📌 This is normal: the main LLM comes first on its own card, "
    "and vision uses another GPU or the CPU."
)
_ALL_FULL = (
    "📌 All GPUs are full, or CUDA is not available. Close other GPU-intensive applications "
    "or restart the application; `danzar doctor` checks CUDA."
)


def render_status(
    devices: Sequence[DeviceMemory], advice: Sequence[str], stale_age_s: float | None = None
) -> str:
    """All GPUs with the seed's fields, then the recommendations; at most ``LONGEST_TEXT``.

    Devices get a block each, or a line each where blocks would be too long.
    """
    gpus = [d for d in devices if d.snapshot.kind is DeviceKind.CUDA]
    stale = [] if stale_age_s is None else [f"⚠️ {format_stale(stale_age_s)}"]
    tail = "\n\n".join([*_warm_lines(devices), _render_advice(advice)])
    blocks = "\n\n".join([*stale, *(render_device(d) for d in gpus), tail])
    if len(blocks) <= LONGEST_TEXT:
        return blocks
    lines = "\n".join(render_device_line(d) for d in gpus)
    room = LONGEST_TEXT - len(tail) - sum(len(s) + 2 for s in stale) - 2
    return "\n\n".join([*stale, _cut(lines, room), tail])


def render_help(prefix: str) -> str:
    """What the group can do, one line each."""
    return "\n".join(f"`{prefix}gpu {usage}` {what}" for usage, what in _COMMANDS)


def render_device(device: DeviceMemory) -> str:
    """One GPU's block: the seed's five fields, then what is Danzar's and what is not."""
    lines = [
        f"{device_title(device.snapshot)}:",
        f"  📊 Allocated: {format_known(device.allocated_bytes)}",
        f"  📊 Reserved: {format_known(device.reserved_bytes)}",
        f"  📊 Free: {format_known(device.free_bytes)}",
        f"  📊 Total: {format_gib(device.total_bytes)}",
        f"  📊 Utilization: {format_pct(device.reserved_pct)}",
        *_kept_lines(device),
        *_lease_lines(device.leases),
        *_foreign_lines(device),
        *_activity_lines(device),
    ]
    return "\n".join(lines)


def render_device_line(device: DeviceMemory) -> str:
    """One GPU in at most 60 characters."""
    name = short_name(device.snapshot.name)[:16]
    simulated = " sim." if device.snapshot.simulated else ""
    pct = device.reserved_pct
    share = "?" if pct is None else f"{pct:.0f}%"
    free = format_known(device.free_bytes)
    return f"{device.snapshot.index} {name}{simulated} {_bar(pct)} {share} · {free} free"


def render_vision(choice: VisionChoice, devices: Sequence[DeviceMemory]) -> str:
    """The choice and its reason as the seed has them, the others' verdicts, and what they mean."""
    simulated = {d.snapshot.uuid for d in devices if d.snapshot.simulated}
    mark = " (simulated)" if choice.device_uuid in simulated else ""
    lines = [f"Device: {choice.label or 'none'}{mark}", f"Reason: {choice.reason}"]
    others = [c for c in choice.considered if c.device_uuid != choice.device_uuid]
    if others:
        lines += ["", "Considered:", *(_verdict_line(c) for c in others)]
    lines += _explanations(choice)
    return _cut("\n".join(lines), LONGEST_TEXT)


def render_monitor(
    *, enabled: bool, interval_s: float, warning_pct: float, alert_channel: str | None
) -> str:
    """What the monitor does from now on."""
    if not enabled:
        return "⏹️ GPU memory monitoring is off. No alerts will come until it is on again."
    where = "they go to the log only" if alert_channel is None else f"they go to #{alert_channel}"
    return (
        f"▶️ GPU memory monitoring is on: a check every {interval_s:g} s, "
        f"alerts above {warning_pct:g}% ({where})."
    )


def _render_advice(advice: Sequence[str]) -> str:
    text = "\n".join(f"  • {line}" for line in advice)
    return f"{ADVICE_TITLE}\n{_cut(text, _LONGEST_ADVICE)}"


def _kept_lines(device: DeviceMemory) -> list[str]:
    return [
        f"  🔒 Kept for {'main LLM' if r.purpose == CHAT else r.purpose}: "
        f"{format_gib(r.size_bytes)} ({format_gib(device.held_bytes(r.purpose))} taken)"
        for r in device.reservations
    ]


def _lease_lines(leases: Sequence[Lease]) -> list[str]:
    if not leases:
        return []
    texts = (f"{x.title} {format_gib(x.size_bytes)} ({x.state})" for x in leases)
    return [f"  🤖 Danzar: {', '.join(texts)}"]


def _warm_lines(devices: Sequence[DeviceMemory]) -> list[str]:
    """What host RAM keeps for quicker loads."""
    kept = [x for d in devices for x in d.leases if x.purpose == WARM_PURPOSE]
    if not kept:
        return []
    texts = ", ".join(f"{x.model} {amount(x.size_bytes)}" for x in kept)
    return [f"♨️ Kept warm in host RAM: {texts}; it leaves at once when memory is needed"]


def _foreign_lines(device: DeviceMemory) -> list[str]:
    if not device.foreign_bytes and not device.foreign:
        return []
    named = [
        f"{process_title(p)} {format_known(p.used_bytes)}"
        for p in device.foreign[:_SHOWN_PROCESSES]
    ]
    if len(device.foreign) > _SHOWN_PROCESSES:
        named.append(f"{len(device.foreign) - _SHOWN_PROCESSES} more")
    who = ", ".join(named) or "driver and unlisted"
    return [f"  🎮 Others: {format_known(device.foreign_bytes)} ({who})"]


def _activity_lines(device: DeviceMemory) -> list[str]:
    snapshot = device.snapshot
    parts = []
    if snapshot.utilisation_pct is not None:
        parts.append(f"{snapshot.utilisation_pct:.0f}% busy")
    if snapshot.temperature_c is not None:
        parts.append(f"{snapshot.temperature_c:.0f} °C")
    if snapshot.power_w is not None:
        parts.append(f"{snapshot.power_w:.0f} W")
    return [f"  ⚡ {', '.join(parts)}"] if parts else []


def _verdict_line(considered: Considered) -> str:
    return f"  {'✅' if considered.usable else '❌'} {considered.reason}"


def _explanations(choice: VisionChoice) -> list[str]:
    lines = []
    if any("reserved for main LLM" in c.reason for c in choice.considered):
        lines.append(_RESERVED_IS_NORMAL)
    if choice.reason.startswith(NO_GPU):
        lines.append(_ALL_FULL)
    return ["", *lines] if lines else []


def _bar(pct: float | None) -> str:
    if pct is None:
        return "?" * _BAR_CELLS
    full = min(_BAR_CELLS, max(0, round(pct / 100 * _BAR_CELLS)))
    return "█" * full + "░" * (_BAR_CELLS - full)


def _cut(text: str, longest: int) -> str:
    """The text, cut at a line's end where it is too long, and saying so."""
    if len(text) <= longest:
        return text
    kept = text[: longest - 2].rpartition("\n")[0] or text[: longest - 2]
    return f"{kept}\n…"
