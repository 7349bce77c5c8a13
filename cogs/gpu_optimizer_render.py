"""The optimizer and the audit as people read them in Discord. Pure."""

from collections.abc import Sequence
from datetime import UTC, datetime

from danzar.optimizer.results import BatchSize, MemoryOptimizationResult, OptimizerStatus
from danzar.store import AuditEntry

_LONGEST_DETAIL = 160


def render_batches(status: OptimizerStatus) -> str:
    """The batch of every vision model, and why it is what it is."""
    config = status.config
    manual = status.manual_batch_size
    how = f"strategy {config.strategy}" if manual is None else f"set to {manual} by hand"
    state = how if config.enabled else "the optimizer is off"
    lines = [f"📦 Pictures at once: **{status.batch_size}** ({state})"]
    lines += [_batch_line(batch) for batch in status.batches]
    if not status.batches and config.enabled:
        lines.append("No vision model is loaded.")
    return "\n".join(lines)


def render_result(result: MemoryOptimizationResult) -> str:
    """What one optimization did."""
    mark = "✅" if result.success else "⚠️"
    sizes = f"batch {_size(result.batch_size_before)} → {_size(result.batch_size_after)}"
    freed = f"{result.freed_text} in {result.duration_s:.1f} s" if result.freed_text else ""
    return f"{mark} {', '.join(filter(None, (freed, sizes)))}. {result.reason}"


def render_audit(entries: Sequence[AuditEntry]) -> str:
    """The newest entries, newest first."""
    if not entries:
        return "Nobody did anything yet."
    return "\n".join(_audit_line(entry) for entry in entries)


def _batch_line(batch: BatchSize) -> str:
    best = "" if batch.optimal is None else f", best {batch.optimal}"
    fits = "" if batch.limit is None else f", memory has room for {batch.limit}"
    why = f": {batch.reason}" if batch.reason else ""
    return f"`{batch.model}` on {batch.device}: {batch.size}{best}{fits}{why}"


def _audit_line(entry: AuditEntry) -> str:
    at = datetime.fromtimestamp(entry.at_s, UTC)
    detail = (
        entry.detail
        if len(entry.detail) <= _LONGEST_DETAIL
        else (entry.detail[:_LONGEST_DETAIL] + "…")
    )
    return f"`{at:%m-%d %H:%M:%S}` {entry.actor} · {entry.action} · {detail}"


def _size(size: int | None) -> str:
    return "none" if size is None else str(size)
