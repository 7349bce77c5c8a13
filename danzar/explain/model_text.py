"""Models as people read about them: plain sentences without markup. Pure."""

import difflib
from collections.abc import Iterable

from danzar.broker.model_view import ModelView
from danzar.core.book import LeaseState
from danzar.core.instance import InstanceState
from danzar.core.variant import Rung
from danzar.errors import ModelMissing
from danzar.explain.memory_text import format_duration
from danzar.units import GIB, MIB, format_gib

_LONGEST_SHOWN = 40
_RUNGS = {
    Rung.FULL: "as configured",
    Rung.SPLIT: "divided over several cards",
    Rung.BATCH: "with smaller batches",
    Rung.SLOTS: "for fewer people at once",
    Rung.KV: "with a smaller KV cache",
    Rung.CONTEXT: "with less context",
    Rung.TILES: "decoding in tiles",
    Rung.OFFLOAD: "in turns on the card",
    Rung.SIZE: "with room for smaller pictures",
    Rung.LAYERS: "with part of its layers on the card",
    Rung.CPU: "on the CPU",
    Rung.MODEL: "by a smaller model",
}


def amount(size_bytes: int | None) -> str:
    """``6.2GB``, ``98MB`` or ``unknown``: the seed's way, and readable for small models too."""
    if size_bytes is None:
        return "unknown"
    if abs(size_bytes) >= GIB:
        return format_gib(size_bytes)
    return f"{size_bytes / MIB:.0f}MB"


def find_model(wanted: str, known: Iterable[str]) -> str:
    """The model of that name; upper and lower case are the same, and so are stray blanks.

    Raises:
        ModelMissing: There is none; the message has the nearest name.
    """
    names = {name.casefold(): name for name in known}
    found = names.get(wanted.strip().casefold())
    if found is not None:
        return found
    near = difflib.get_close_matches(wanted.strip().casefold(), names, n=1, cutoff=0.5)
    hint = f"did you mean {names[near[0]]}? " if near else ""
    listed = ", ".join(sorted(names.values())) or "none"
    raise ModelMissing(f"no model is called “{_harmless(wanted)}”; {hint}Known: {listed}")


def rung_text(rung: Rung) -> str:
    """How a model is loaded, in words."""
    return _RUNGS[rung]


def place_text(view: ModelView) -> str:
    """``ready on cuda:0 (simulated)``, ``cold``, ``makes way for other programs``."""
    if view.yielded:
        return "left for other programs; it comes back when they are gone"
    if view.state is InstanceState.FAILED:
        return _failed_text(view)
    if view.device is None:
        return "not loaded" if view.state is InstanceState.COLD else str(view.state)
    layers = [f"{s.device} {s.layers}" for s in view.shares if s.layers is not None]
    divided = f", layers: {', '.join(layers)}" if layers else ""
    return f"{view.state} on {view.device}{' (simulated)' if view.simulated else ''}{divided}"


def size_text(view: ModelView) -> str:
    """What it has booked and whether that is measured; or what it would need."""
    if not view.shares:
        return f"needs about {amount(view.estimated_bytes)}"
    booked = " + ".join(f"{amount(s.leased_bytes)} on {s.device}" for s in view.hosts)
    beside = f" (and {amount(view.beside_bytes)} of host RAM)" if view.beside_bytes else ""
    estimated_bytes = sum(share.estimated_bytes for share in view.hosts)
    if any(share.lease is LeaseState.CLAIMED for share in view.hosts):
        return f"{booked}{beside}, booked for the load"
    if estimated_bytes == view.leased_bytes:
        return f"{booked}{beside}, as estimated"
    return f"{booked}{beside}, measured; {amount(estimated_bytes)} were estimated"


def kept_text(view: ModelView) -> str | None:
    """Whether something keeps it where it is; ``None`` where nothing does."""
    parts = [
        *(["pinned"] if view.pinned else []),
        *(["protected from other programs"] if view.protected else []),
        *([f"priority {view.priority}"] if view.priority else []),
    ]
    return ", ".join(parts) or None


def use_text(view: ModelView) -> str:
    """Requests, idleness, and what leaving would cost."""
    running = [f"{view.in_flight} running"] if view.in_flight else []
    waiting = [f"{view.waiting} waiting"] if view.waiting else []
    idle = [f"idle for {format_duration(view.idle_s)}"] if view.idle_s is not None else []
    cost = [
        reload_text(view),
        f"wanted within 2 min: {100 * view.use_probability:.0f} %",
    ]
    return " · ".join([*running, *waiting, *idle, *cost])


def reload_text(view: ModelView) -> str:
    """``reload 1.2 s (warm)``, ``load about 6.8 s (estimated)``: what it takes to have it again."""
    verb = "reload" if view.is_loaded else "load"
    about = "" if view.reload_measured else "about "
    how = [
        *(["warm"] if view.reload_warm else []),
        *(["standby"] if view.standby else []),
        *([] if view.reload_measured else ["estimated"]),
    ]
    return f"{verb} {about}{view.reload_s:.1f} s" + (f" ({', '.join(how)})" if how else "")


def _failed_text(view: ModelView) -> str:
    again = f"; next try in {view.retry_in_s:.0f} s" if view.retry_in_s is not None else ""
    return f"failed: {view.last_error or 'unknown cause'}{again}"


def _harmless(text: str) -> str:
    """What someone typed, on one short line that formats and pings nothing."""
    plain = "".join(c if c.isalnum() or c in " .-+:" else "_" for c in text)
    return " ".join(plain.split())[:_LONGEST_SHOWN]
