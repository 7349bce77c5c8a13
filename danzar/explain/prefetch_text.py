"""What loading ahead has brought, as lines without markup. Pure."""

from danzar.broker.prefetch_view import AheadView, ExpectedView, PrefetchView
from danzar.core.prefetch_counts import PrefetchCounts
from danzar.explain.memory_text import format_duration
from danzar.explain.model_text import amount


def summary_text(view: PrefetchView) -> str:
    """All models together, in a sentence or two."""
    if not view.enabled:
        return "Loading ahead is switched off (prediction.enabled)."
    total = view.total
    if not total.loads and not total.kept:
        return f"Nothing was loaded ahead yet. Loads nobody foresaw: {total.misses}."
    share = total.wasted_share
    wasted = "" if share is None else f" ({100 * share:.0f} %, {amount(total.wasted_bytes)})"
    return (
        f"Loaded ahead: {total.loads}. Asked for in time: {total.hits}. "
        f"In vain: {total.wasted}{wasted}. Waiting saved: {total.saved_s:.0f} s. "
        f"Loads nobody foresaw: {total.misses}."
    )


def counts_text(name: str, counts: PrefetchCounts) -> str:
    """One model's account."""
    parts = [
        f"{counts.hits} of {counts.loads} loads ahead asked for",
        f"{counts.wasted} in vain ({amount(counts.wasted_bytes)})",
        f"{counts.misses} not foreseen",
    ]
    if counts.cancelled:
        parts.append(f"{counts.cancelled} cancelled")
    if counts.kept:
        parts.append(f"kept {counts.kept} times, asked for {counts.kept_hits}")
    return f"{name}: {', '.join(parts)}"


def ahead_text(ahead: AheadView) -> str:
    """A model that is there before anybody asked."""
    verb = "kept" if ahead.kept else "loaded ahead"
    return f"{ahead.model} is {verb} for {format_duration(ahead.left_s)} more: {ahead.reason}"


def expected_text(expected: ExpectedView) -> str:
    """A model that is not loaded and may be asked for."""
    return (
        f"{expected.model}: {100 * expected.probability:.0f} %, "
        f"{100 * expected.soon:.0f} % of it soon: {expected.reason}"
    )
