"""The status API's JSON, version 1, made from values. Pure; documented in docs/status-api.md.

Sizes are bytes, ``null`` is unknown, times are ISO 8601 with a zone.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from danzar.core.device_memory import DeviceMemory

VERSION = 1
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class BotFacts:
    """The bot's own process; ``None`` is unknown.

    Attributes:
        latency_s: The gateway's heartbeat round trip.
        loop_lag_p99_s: How late the event loop ran, 99 of 100 times in the last minute.
        rss_bytes: Resident memory of the process, without its workers.
    """

    name: str
    ready: bool
    latency_s: float | None
    loop_lag_p99_s: float | None = None
    rss_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class ModelFact:
    """One model: an ``InstanceState`` word, its device's label if it has one, requests waiting."""

    name: str
    state: str
    device: str | None
    queue: int


@dataclass(frozen=True, slots=True)
class WatchFact:
    """One running watch: frames looked at so far, and where the detector runs if known."""

    id: int
    source: str
    frames: int
    device: str | None


@dataclass(frozen=True, slots=True)
class AlertFact:
    """One alert, of the cards or of a watch."""

    text: str
    at: datetime


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """Everything that the API tells, at one instant.

    Attributes:
        messages: Lines for the page's log, oldest first.
    """

    bot: BotFacts
    devices: Sequence[DeviceMemory]
    models: Sequence[ModelFact] = ()
    watches: Sequence[WatchFact] = ()
    alerts: Sequence[AlertFact] = ()
    messages: Sequence[str] = ()


def status_json(facts: StatusFacts) -> Json:
    """The body of ``GET /v1/status``."""
    return {
        "version": VERSION,
        "bot": {
            "name": facts.bot.name,
            "ready": facts.bot.ready,
            "latency_s": _finite(facts.bot.latency_s),
            "loop_lag_p99_s": _finite(facts.bot.loop_lag_p99_s),
            "rss_bytes": facts.bot.rss_bytes,
        },
        "devices": [_device_json(d) for d in facts.devices],
        "models": [
            {"name": m.name, "state": m.state, "device": m.device, "queue": m.queue}
            for m in facts.models
        ],
        "watches": [
            {"id": w.id, "source": w.source, "frames": w.frames, "device": w.device}
            for w in facts.watches
        ],
        "alerts": [{"text": a.text, "at": a.at.isoformat()} for a in facts.alerts],
        "messages": list(facts.messages),
    }


def devices_json(devices: Iterable[DeviceMemory]) -> Json:
    """The body of ``GET /v1/devices``, and of ``danzar gpu status --json``."""
    return {"version": VERSION, "devices": [_device_json(d) for d in devices]}


def _device_json(device: DeviceMemory) -> Json:
    snapshot = device.snapshot
    return {
        "uuid": snapshot.uuid,
        "label": snapshot.label,
        "name": snapshot.name,
        "simulated": snapshot.simulated,
        "total_bytes": snapshot.total_bytes,
        "free_bytes": snapshot.free_bytes,
        "used_bytes": snapshot.used_bytes,
        "foreign_bytes": device.foreign_bytes,
        "foreign": [
            {"pid": p.pid, "name": p.name, "used_bytes": p.used_bytes} for p in device.foreign
        ],
        "utilisation_pct": _finite(snapshot.utilisation_pct),
        "temperature_c": _finite(snapshot.temperature_c),
        "reservations": [
            {"purpose": r.purpose, "bytes": r.size_bytes} for r in device.reservations
        ],
        "leases": [
            {
                "model": x.model,
                "purpose": x.purpose,
                "bytes": x.size_bytes,
                "state": str(x.state),
            }
            for x in device.leases
        ],
    }


def _finite(value: float | None) -> float | None:
    """JSON has no NaN: discord.py's latency is NaN before the first heartbeat."""
    return value if value is not None and math.isfinite(value) else None
