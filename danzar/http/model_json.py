"""Models, decisions and explanations as JSON, version 1. Pure; documented in docs/status-api.md.

Sizes are bytes, times of events ISO 8601 with a zone, durations seconds; ``null`` is unknown. The
``text`` fields say in words what the numbers beside them say.
"""

from datetime import UTC, datetime
from typing import Any

from danzar.broker.decision import Decision
from danzar.broker.model_view import ModelView, ShareView
from danzar.core.plan import (
    Impossible,
    NeedsEviction,
    PlacedOn,
    Plan,
    PlanInputs,
    WaitForIdle,
    WaitForRelease,
)
from danzar.explain.explain_text import (
    device_text,
    leaving_text,
    outcome_text,
    reason_text,
    way_text,
    way_title,
)
from danzar.explain.model_text import place_text, rung_text, size_text, use_text
from danzar.explain.plan_explain import DeviceRoom, Explanation, Leaving, Weighed

Json = dict[str, Any]
_OUTCOMES: dict[type, str] = {
    PlacedOn: "placed",
    NeedsEviction: "needs_eviction",
    WaitForRelease: "waits_for_release",
    WaitForIdle: "waits_for_idle",
    Impossible: "impossible",
}


def model_json(view: ModelView) -> Json:
    """One model."""
    return {
        "name": view.name,
        "purpose": view.purpose,
        "state": str(view.state),
        "device": view.device,
        "simulated": view.simulated,
        "queue": view.waiting,
        "in_flight": view.in_flight,
        "rung": None if view.rung is None else str(view.rung),
        "rung_text": None if view.rung is None else rung_text(view.rung),
        "degraded": view.degraded,
        "bytes": view.leased_bytes if view.shares else None,
        "beside_bytes": view.beside_bytes,
        "estimated_bytes": view.estimated_bytes,
        "shares": [_share_json(share) for share in view.shares],
        "pinned": view.pinned,
        "protected": view.protected,
        "priority": view.priority,
        "reload_s": round(view.reload_s, 3),
        "reload_warm": view.reload_warm,
        "reload_measured": view.reload_measured,
        "standby": view.standby,
        "warm_bytes": view.warm_bytes,
        "use_probability": round(view.use_probability, 4),
        "idle_s": None if view.idle_s is None else round(view.idle_s, 1),
        "yielded": view.yielded,
        "error": view.last_error,
        "text": f"{place_text(view)}; {size_text(view)}; {use_text(view)}",
    }


def decision_json(decision: Decision) -> Json:
    """One step that was carried out."""
    return {
        "at": datetime.fromtimestamp(decision.at_s, UTC).isoformat(timespec="milliseconds"),
        "kind": None if decision.kind is None else str(decision.kind),
        "model": decision.model,
        "device": decision.device,
        "reason": decision.reason,
        "text": decision.text,
    }


def explanation_json(told: Explanation, inputs: PlanInputs, *, age_s: float | None) -> Json:
    """One plan taken apart; ``age_s`` is ``None`` for a dry run."""
    plan = told.plan
    dry_run = age_s is None
    return {
        "model": told.model,
        "dry_run": dry_run,
        "age_s": None if age_s is None else round(age_s, 3),
        "outcome": _OUTCOMES[type(plan)],
        "text": outcome_text(told.model, plan, inputs.devices, dry_run=dry_run),
        "reason": reason_text(plan),
        "degraded": plan.degraded if isinstance(plan, PlacedOn) else None,
        "rung": str(plan.rung) if isinstance(plan, PlacedOn) else None,
        "shares": _plan_shares(plan, inputs),
        "settings": dict(plan.settings) if isinstance(plan, PlacedOn) else {},
        "policy": told.policy,
        "devices": [_device_json(device) for device in told.devices],
        "weighed": [_weighed_json(row) for row in told.weighed],
        "leaving": [_leaving_json(left) for left in told.leaving],
    }


def _share_json(share: ShareView) -> Json:
    return {
        "uuid": share.device_uuid,
        "device": share.device,
        "bytes": share.leased_bytes,
        "estimated_bytes": share.estimated_bytes,
        "lease": str(share.lease),
        "layers": share.layers,
    }


def _plan_shares(plan: Plan, inputs: PlanInputs) -> list[Json]:
    labels = {device.uuid: device.label for device in inputs.devices}
    return [
        {
            "uuid": share.device_uuid,
            "device": labels.get(share.device_uuid, share.device_uuid),
            "bytes": share.size_bytes,
            "layers": share.layers,
        }
        for share in (plan.shares if isinstance(plan, PlacedOn) else ())
    ]


def _device_json(device: DeviceRoom) -> Json:
    return {
        "uuid": device.device_uuid,
        "device": device.device,
        "simulated": device.simulated,
        "total_bytes": device.total_bytes,
        "free_bytes": device.free_bytes,
        "in_flight_bytes": device.in_flight_bytes,
        "others_bytes": device.others_bytes,
        "promised_bytes": device.promised_bytes,
        "kept": [{"purpose": purpose, "bytes": size} for purpose, size in device.kept],
        "margin_bytes": device.margin_bytes,
        "limit_left_bytes": device.limit_left_bytes,
        "budget_left_bytes": device.budget_left_bytes,
        "room_bytes": device.room_bytes,
        "warm_bytes": device.warm_bytes,
        "text": device_text(device),
    }


def _weighed_json(row: Weighed) -> Json:
    return {
        "rung": str(row.rung),
        "way": way_title(row),
        "device": row.device,
        "needed_bytes": row.needed_bytes,
        "room_bytes": row.room_bytes,
        "verdict": str(row.verdict),
        "models": list(row.models),
        "chosen": row.chosen,
        "text": way_text(row),
    }


def _leaving_json(left: Leaving) -> Json:
    return {
        "model": left.model,
        "bytes": left.size_bytes,
        "reload_s": round(left.reload_s, 3),
        "use_probability": round(left.use_probability, 4),
        "cost_s": round(left.cost_s, 3),
        "text": leaving_text(left),
    }
