"""``danzar plan``: where a model would go in a described world; nothing is touched."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.broker.decisions import kind_of
from danzar.commands.described import read_world
from danzar.commands.terminal import table
from danzar.core.placement import plan_placement
from danzar.core.plan import Impossible, NeedsEviction, PlacedOn, Plan, PlanInputs, WaitForIdle
from danzar.explain.explain_text import (
    device_text,
    leaving_text,
    outcome_text,
    reason_text,
    way_text,
    way_title,
)
from danzar.explain.plan_explain import Explanation, Weighed, explain
from danzar.simulate.planning import plan_inputs
from danzar.units import format_gib

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Planned:
    """The answer with all that it was made from."""

    inputs: PlanInputs
    plan: Plan
    explanation: Explanation


def plan_model(model: str, devices: Path) -> Planned:
    """Ask the planner about a described world.

    Raises:
        DanzarError: The file can't be read or describes no world, or has no such model.
    """
    inputs = plan_inputs(read_world(devices), model)
    plan = plan_placement(inputs)
    return Planned(inputs, plan, explain(inputs, plan))


def planned_json(planned: Planned) -> Json:
    """As docs/json.md describes it."""
    explanation = planned.explanation
    return {
        "model": explanation.model,
        "policy": explanation.policy,
        "plan": _plan_json(planned.plan, _labels(planned.inputs)),
        "devices": [
            {
                "device": d.device,
                "total_bytes": d.total_bytes,
                "free_bytes": d.free_bytes,
                "kept": [{"purpose": p, "bytes": size} for p, size in d.kept],
                "margin_bytes": d.margin_bytes,
                "limit_left_bytes": d.limit_left_bytes,
                "budget_left_bytes": d.budget_left_bytes,
                "room_bytes": d.room_bytes,
            }
            for d in explanation.devices
        ],
        "weighed": [_weighed_json(row) for row in explanation.weighed],
        "leaving": [
            {
                "model": x.model,
                "bytes": x.size_bytes,
                "reload_s": x.reload_s,
                "use_probability": x.use_probability,
                "cost_s": x.cost_s,
            }
            for x in explanation.leaving
        ],
    }


def print_planned(planned: Planned, console: Console) -> None:
    """The outcome and its reason, then the numbers behind it."""
    explanation = planned.explanation
    devices = planned.inputs.devices
    outcome = outcome_text(explanation.model, planned.plan, devices, dry_run=True)
    console.print(f"{outcome}.", style="bold", soft_wrap=True)
    console.print(reason_text(planned.plan), soft_wrap=True)
    if isinstance(planned.plan, PlacedOn):
        labels = _labels(planned.inputs)
        for share in planned.plan.shares:
            layers = "" if share.layers is None else f", {share.layers} layers"
            console.print(f"  {labels[share.device_uuid]}: {format_gib(share.size_bytes)}{layers}")
    console.print("\nRoom", style="bold")
    for device in explanation.devices:
        console.print(f"  {device.device}: {device_text(device)}", soft_wrap=True)
    console.print(f"\nWeighed, best first (policy {explanation.policy})", style="bold")
    rows = table("", "way", "where", "")
    for row in explanation.weighed:
        rows.add_row(">" if row.chosen else "", way_title(row), row.device, way_text(row))
    console.print(rows)
    if explanation.leaving:
        console.print("\nLeaving", style="bold")
        for left in explanation.leaving:
            console.print(f"  {leaving_text(left)}", soft_wrap=True)


def _labels(inputs: PlanInputs) -> dict[str, str]:
    return {device.uuid: device.label for device in inputs.devices}


def _plan_json(plan: Plan, labels: dict[str, str]) -> Json:
    """Every key is always there; ``null`` or an empty list where the kind has no such thing."""
    uuid = None if isinstance(plan, Impossible) else plan.device_uuid
    placed = plan if isinstance(plan, PlacedOn) else None
    return {
        "kind": kind_of(plan),
        "device": None if uuid is None else labels[uuid],
        "reason": plan.reason,
        "degraded": placed.degraded if placed else None,
        "rung": placed.rung if placed else None,
        "settings": dict(placed.settings) if placed else {},
        "shares": [
            {"device": labels[s.device_uuid], "bytes": s.size_bytes, "layers": s.layers}
            for s in (placed.shares if placed else ())
        ],
        "victims": list(plan.victims) if isinstance(plan, NeedsEviction) else [],
        "waits_for": list(plan.models) if isinstance(plan, WaitForIdle) else [],
        "shortfall_bytes": plan.shortfall_bytes if isinstance(plan, Impossible) else None,
    }


def _weighed_json(row: Weighed) -> Json:
    return {
        "rung": row.rung,
        "loss": row.loss,
        "device": row.device,
        "needed_bytes": row.needed_bytes,
        "room_bytes": row.room_bytes,
        "verdict": row.verdict,
        "models": list(row.models),
        "chosen": row.chosen,
    }
