"""Models, plans, reasons and history as Discord shows them: pure, tested as text."""

from collections.abc import Iterable, Sequence

from cogs.vision_render import inert
from danzar.broker.decision import Decision, DecisionKind
from danzar.broker.model_view import ModelView
from danzar.broker.reservations import Asked
from danzar.core.instance import InstanceState
from danzar.core.plan import Plan, PlanInputs
from danzar.explain.explain_text import (
    device_text,
    leaving_text,
    outcome_text,
    reason_text,
    way_text,
    way_title,
)
from danzar.explain.memory_text import format_duration
from danzar.explain.model_text import amount, kept_text, place_text, rung_text, size_text, use_text
from danzar.explain.plan_explain import Explanation, Verdict, Weighed

# Discord's limit for an embed's description is 4,096 characters.
LONGEST_TEXT = 4000
MODELS_TITLE = "🧠 Models"
HISTORY_TITLE = "🕑 What happened"
_SHOWN_ROWS = 4
_SHOWN_DEVICES = 6
_STATES = {
    InstanceState.READY: "🟢",
    InstanceState.LOADING: "🟡",
    InstanceState.DRAINING: "🟡",
    InstanceState.UNLOADING: "🟡",
    InstanceState.FAILED: "🔴",
    InstanceState.COLD: "⚪",
}
_VERDICTS = {Verdict.FITS: "✅", Verdict.EVICT: "♻️", Verdict.RELEASE: "⏳", Verdict.BUSY: "⏳"}
_KINDS = {
    DecisionKind.LOAD: "⬆️",
    DecisionKind.UNLOAD: "⬇️",
    DecisionKind.EVICT: "♻️",
    DecisionKind.YIELD: "🎮",
    DecisionKind.FAILED: "❌",
    DecisionKind.LOST: "💥",
}


def render_models(views: Sequence[ModelView]) -> str:
    """Every model, loaded ones first."""
    if not views:
        return "No model is configured."
    ordered = sorted(views, key=lambda v: not v.shares)
    return cut_blocks([_model_block(view) for view in ordered])


def render_why(told: Explanation, inputs: PlanInputs, age_s: float) -> tuple[str, str]:
    """Title and text of the last decision."""
    title = f"🔎 {_outcome(told.plan, inputs)}"
    note = f"decided {format_duration(max(0.0, age_s))} ago{_simulated(told)}"
    blocks = [f"{reason_text(told.plan)}\n-# {note}", *_explained(told)]
    return title, cut_blocks(blocks)


def render_plan(told: Explanation, inputs: PlanInputs) -> tuple[str, str]:
    """Title and text of a dry run."""
    title = f"🧮 {_outcome(told.plan, inputs, dry_run=True)}"
    note = f"a dry run: nothing was touched{_simulated(told)}"
    blocks = [f"{reason_text(told.plan)}\n-# {note}", *_explained(told)]
    return title, cut_blocks(blocks)


def render_evictions(model: str, decisions: Iterable[Decision]) -> str | None:
    """Who left for this model lately; ``None`` where nobody did."""
    lines = [
        f"♻️ <t:{decision.at_s:.0f}:T> **{decision.model}**: {inert(decision.reason)}"
        for decision in decisions
        if decision.kind is DecisionKind.EVICT and decision.reason.startswith(f"room for {model}:")
    ]
    return "**Who left for it**\n" + "\n".join(lines[-3:]) if lines else None


def render_history(decisions: Sequence[Decision], shown: int = 20) -> str:
    """The last steps, the newest first."""
    lines = [_decision_line(decision) for decision in reversed(decisions[-shown:])]
    return cut_blocks(lines, "\n") if lines else "Nothing was loaded or unloaded yet."


def render_reservations(
    kept: Iterable[tuple[str, str, str]], asked: Iterable[tuple[str, Asked]], prefix: str
) -> str:
    """What is kept free.

    Args:
        kept: ``(device, purpose, size)`` of the configured ones.
        asked: People's, each with its device's label.
        prefix: Of commands.
    """
    lines = [f"⚙️ `{device}` {size} for {purpose}, as configured" for device, purpose, size in kept]
    lines += [
        f"🙋 `{device}` {amount(row.size_bytes)} for {row.purpose}, "
        f"by {inert(row.actor)} <t:{row.at_s:.0f}:R>"
        for device, row in asked
    ]
    usage = (
        f"-# `{prefix}gpu reserve cuda:0 6GB games` keeps more, `{prefix}gpu reserve clear` less"
    )
    return cut_blocks([*(lines or ["Nothing is kept free."]), usage], "\n")


def cut_blocks(blocks: Sequence[str], between: str = "\n\n") -> str:
    """The blocks that fit into ``LONGEST_TEXT``, saying how many do not."""
    kept: list[str] = []
    length = 0
    for block in blocks:
        length += len(block) + len(between)
        if length > LONGEST_TEXT - 40:
            return between.join([*kept, f"… and {len(blocks) - len(kept)} more"])
        kept.append(block)
    return between.join(kept)


def _model_block(view: ModelView) -> str:
    head = f"{_STATES[view.state]} **{view.name}** ({view.purpose}) {place_text(view)}"
    how = f" · {rung_text(view.rung)}" if view.rung is not None else ""
    kept = kept_text(view)
    return "\n".join(
        (
            head,
            f"-# 📦 {size_text(view)}{how}",
            f"-# ⏱️ {use_text(view)}",
            *([f"-# 📌 {kept}"] if kept else []),
            *([f"-# ⚠️ {view.degraded}"] if view.degraded else []),
        )
    )


def _outcome(plan: Plan, inputs: PlanInputs, *, dry_run: bool = False) -> str:
    text = outcome_text(inputs.demand.model, plan, inputs.devices, dry_run=dry_run)
    return text[:240]


def _simulated(told: Explanation) -> str:
    labels = [device.device for device in told.devices if device.simulated]
    more = "…" if len(labels) > _SHOWN_DEVICES else ""
    return f" · simulated: {', '.join(labels[:_SHOWN_DEVICES])}{more}" if labels else ""


def _explained(told: Explanation) -> list[str]:
    devices = [f"`{d.device}` {device_text(d)}" for d in told.devices[:_SHOWN_DEVICES]]
    if len(told.devices) > _SHOWN_DEVICES:
        devices.append(f"… and {len(told.devices) - _SHOWN_DEVICES} more devices")
    blocks = ["**What each device had**\n" + "\n".join(devices)] if devices else []
    if told.weighed:
        blocks.append("**What was weighed, best first**\n" + "\n".join(_way_lines(told.weighed)))
    if told.leaving:
        lines = [f"♻️ {leaving_text(left)}" for left in told.leaving]
        blocks.append(f"**Who has to leave** (policy {told.policy})\n" + "\n".join(lines))
    return blocks


def _way_lines(rows: Sequence[Weighed]) -> list[str]:
    lines: list[str] = []
    for title in dict.fromkeys(way_title(row) for row in rows):
        same = [row for row in rows if way_title(row) == title]
        shown = sorted(same, key=lambda row: not row.chosen)[:_SHOWN_ROWS]
        lines += [f"*{title}*", *(_way_line(row) for row in same if row in shown)]
        if len(same) > _SHOWN_ROWS:
            lines.append(f"… and {len(same) - _SHOWN_ROWS} more devices")
    return lines


def _way_line(row: Weighed) -> str:
    mark = _VERDICTS.get(row.verdict, "❌")
    text = f"{mark} `{row.device}` {way_text(row)}"
    return f"{text} **← taken**" if row.chosen else text


def _decision_line(decision: Decision) -> str:
    mark = _KINDS[decision.kind] if decision.kind is not None else "•"
    if decision.model is None:
        return f"{mark} <t:{decision.at_s:.0f}:T> {inert(decision.text)}"
    where = f" on `{decision.device}`" if decision.device else ""
    kind = decision.kind.value if decision.kind is not None else ""
    what = f"{mark} <t:{decision.at_s:.0f}:T> {kind} **{decision.model}**{where}"
    return f"{what}: {inert(decision.reason)}"
