"""The status API's JSON, version 1, made from values. Pure; documented in docs/status-api.md.

Sizes are bytes, ``null`` is unknown, times are ISO 8601 with a zone.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from danzar.broker.decision import Decision
from danzar.broker.model_view import ModelView
from danzar.broker.reservations import Asked
from danzar.core.book import Reservation
from danzar.core.device_memory import DeviceMemory
from danzar.http.model_json import Json, decision_json, model_json
from danzar.jobs.contract import JobView
from danzar.logs.line import LogLine

VERSION = 1


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
        decisions: The last steps of the manager, oldest first.
        asked: Reservations that people made.
    """

    bot: BotFacts
    devices: Sequence[DeviceMemory]
    models: Sequence[ModelView] = ()
    watches: Sequence[WatchFact] = ()
    alerts: Sequence[AlertFact] = ()
    decisions: Sequence[Decision] = ()
    asked: Sequence[Asked] = ()


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
        "devices": [_device_json(d, facts.asked) for d in facts.devices],
        "models": [model_json(view) for view in facts.models],
        "watches": [
            {"id": w.id, "source": w.source, "frames": w.frames, "device": w.device}
            for w in facts.watches
        ],
        "alerts": [{"text": a.text, "at": a.at.isoformat()} for a in facts.alerts],
        "decisions": [decision_json(d) for d in facts.decisions],
        "messages": [_message(d) for d in facts.decisions],
    }


def devices_json(devices: Iterable[DeviceMemory], asked: Sequence[Asked] = ()) -> Json:
    """The body of ``GET /v1/devices``, and of ``danzar gpu status --json``."""
    return {"version": VERSION, "devices": [_device_json(d, asked) for d in devices]}


def models_json(facts: StatusFacts) -> Json:
    """The body of ``GET /v1/models``."""
    return {"version": VERSION, "models": [model_json(view) for view in facts.models]}


def history_json(facts: StatusFacts) -> Json:
    """The body of ``GET /v1/history``, oldest first."""
    return {"version": VERSION, "decisions": [decision_json(d) for d in facts.decisions]}


def incidents_json(rows: Sequence[Json]) -> Json:
    """The body of ``GET /v1/incidents``, the newest first."""
    return {"version": VERSION, "incidents": list(rows)}


def jobs_json(rows: Sequence[Json]) -> Json:
    """The body of ``GET /v1/jobs``, the newest first."""
    return {"version": VERSION, "jobs": list(rows)}


def job_json(job: JobView) -> Json:
    """One job, without whose it is."""
    return {
        "id": job.job_id,
        "model": job.model,
        "state": str(job.state),
        "submitted_at": _iso(job.submitted_at),
        "started_at": _iso(job.started_at),
        "ended_at": _iso(job.ended_at),
        "position": job.position,
        "attempt": job.attempt,
        "node": job.node,
        "device": job.device,
        "progress": _finite(job.progress),
        "error": job.error,
        "degraded": job.degraded,
    }


def log_json(line: LogLine) -> Json:
    """One line of the log."""
    return {
        "number": line.number,
        "at": line.at,
        "level": line.level,
        "logger": line.logger,
        "text": line.text,
        "request": line.request,
        "error": line.error,
    }


def to_json(body: object) -> str:
    """As text, without blanks."""
    return json.dumps(body, separators=(",", ":"))


def _device_json(device: DeviceMemory, asked: Sequence[Asked]) -> Json:
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
        "reservations": [_reservation_json(r, asked) for r in device.reservations],
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


def _reservation_json(reservation: Reservation, asked: Sequence[Asked]) -> Json:
    """``by`` is who asked for it, or ``null`` where it is configured."""
    by = next((row.actor for row in asked if row.reservation == reservation), None)
    return {"purpose": reservation.purpose, "bytes": reservation.size_bytes, "by": by}


def _message(decision: Decision) -> str:
    return f"{datetime.fromtimestamp(decision.at_s, UTC):%H:%M:%S} {decision.text}"


def _iso(at_s: float | None) -> str | None:
    """Seconds since 1970 as a time."""
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC).isoformat()


def _finite(value: float | None) -> float | None:
    """JSON has no NaN: discord.py's latency is NaN before the first heartbeat."""
    return value if value is not None and math.isfinite(value) else None
