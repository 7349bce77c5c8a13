"""An incident as the page and programs read it. Pure; documented in docs/status-api.md."""

from datetime import datetime
from typing import Any

from danzar.incidents.record import IncidentRecord


def record_json(record: IncidentRecord, now: datetime) -> dict[str, Any]:
    """Times are ISO 8601 with a zone; ``null`` is unknown, or not yet."""
    return {
        "id": record.number,
        "key": record.key,
        "kind": record.kind,
        "level": record.level.name.lower(),
        "worst": record.worst.name.lower(),
        "title": record.worst_text.partition(":")[0],
        "text": record.text,
        "worst_text": record.worst_text,
        "opened_at": record.opened_at.isoformat(),
        "calm_since": _iso(record.calm_since),
        "closed_at": _iso(record.closed_at),
        "lasted_s": record.lasted_s(now),
        "told": record.told,
        "flapping": record.flapping,
        "count": record.returns + 1,
        "grew": record.grew,
        "done": [{"at": step.at.isoformat(), "text": step.text} for step in record.done],
        "timeline": [
            {"at": step.at.isoformat(), "level": step.level.name.lower()}
            for step in record.timeline
        ],
        "muted": record.muted,
        "muted_until": _iso(record.muted_until),
        "ended_unseen": record.ended_unseen,
    }


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
