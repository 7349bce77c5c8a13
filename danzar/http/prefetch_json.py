"""What loading ahead has brought, as JSON, version 1. Pure; documented in docs/prefetch.md."""

from dataclasses import asdict
from typing import Any

from danzar.broker.prefetch_view import PrefetchView
from danzar.core.prefetch_counts import PrefetchCounts
from danzar.explain.prefetch_text import ahead_text, counts_text, expected_text, summary_text

Json = dict[str, Any]


def prefetch_json(view: PrefetchView) -> Json:
    """The body of ``GET /v1/prefetch`` without its version."""
    return {
        "enabled": view.enabled,
        "text": summary_text(view),
        "total": _counts(view.total),
        "price_s": round(view.price_s, 3),
        "max_wasted": view.max_wasted,
        "models": [
            {"name": name, **_counts(counts), "text": counts_text(name, counts)}
            for name, counts in view.by_model
        ],
        "ahead": [
            {
                "model": a.model,
                "reason": a.reason,
                "probability": round(a.probability, 4),
                "kept": a.kept,
                "left_s": round(a.left_s, 1),
                "text": ahead_text(a),
            }
            for a in view.ahead
        ],
        "expected": [
            {
                "model": e.model,
                "source": e.source,
                "reason": e.reason,
                "probability": round(e.probability, 4),
                "soon": round(e.soon, 4),
                "window_s": round(e.window_s, 1),
                "text": expected_text(e),
            }
            for e in view.expected
        ],
    }


def _counts(counts: PrefetchCounts) -> Json:
    share = counts.wasted_share
    return {
        **asdict(counts),
        "saved_s": round(counts.saved_s, 3),
        "wasted_share": None if share is None else round(share, 4),
    }
