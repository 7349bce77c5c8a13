"""The status server over plain values: nothing is asked of a driver, a model or a database."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from danzar.broker.decision import Decision
from danzar.graph import UseHistory
from danzar.http.status_json import BotFacts, StatusFacts
from danzar.http.status_parts import Planner, StatusParts
from danzar.logs.ring import Ring

READY = {"ready": True, "missing": [], "checks": {"telemetry": {"ok": True, "text": "fresh"}}}


class FixedProbes:
    """Answers what it was made with."""

    def __init__(self, *, alive: bool = True, ready: bool = True) -> None:
        self.alive = alive
        self.is_ready = ready

    def health(self) -> tuple[int, dict[str, Any]]:
        return (200, {"status": "alive"}) if self.alive else (503, {"status": "stuck"})

    def ready(self) -> tuple[int, dict[str, Any]]:
        missing = [] if self.is_ready else ["discord: not connected"]
        return (200 if self.is_ready else 503), {
            **READY,
            "ready": self.is_ready,
            "missing": missing,
        }

    def metrics(self, accept: str) -> tuple[bytes, str]:
        kind = "application/openmetrics-text" if "openmetrics" in accept else "text/plain"
        return b"danzar_ready 1\n", f"{kind}; charset=utf-8"


async def no_jobs() -> Sequence[dict[str, Any]]:
    return ()


def parts_of(
    facts: StatusFacts | Callable[[], StatusFacts],
    planner: Planner,
    decisions: Sequence[Decision] | None = None,
    **changes: Any,
) -> StatusParts:
    """Everything that the server reads, from these facts; ``changes`` are further parts."""
    read = facts if callable(facts) else lambda: facts
    parts = StatusParts(
        facts=read,
        planner=planner,
        probes=FixedProbes(),
        use=UseHistory(lambda: read().devices, keep_s=3600.0),
        log=Ring(),
        decisions=lambda: decisions if decisions is not None else read().decisions,
        incidents=list,
        jobs=no_jobs,
    )
    return replace(parts, **changes)


EMPTY = StatusFacts(BotFacts("Danzar", True, 0.04), ())
