"""What the status API tells, read from the services at one instant."""

from functools import partial
from typing import Any

import psutil

from danzar.bot import DanzarBot
from danzar.http.status_json import AlertFact, BotFacts, StatusFacts, WatchFact, job_json
from danzar.http.status_parts import Probes, StatusParts
from danzar.incidents.record_json import record_json
from danzar.logs.ring import RING
from danzar.services import Services

_DECISIONS = 50
_ALERTS = 20
_INCIDENTS = 30
_JOBS = 30


def status_facts(services: Services, bot: DanzarBot | None) -> StatusFacts:
    """Everything that the API and the page beside the channel show; ``None``: without Discord."""
    return StatusFacts(
        bot=BotFacts(
            name=bot.user.name if bot and bot.user else "Danzar",
            ready=bot is not None and bot.is_ready(),
            latency_s=None if bot is None else bot.latency,
            loop_lag_p99_s=services.loop_lag.p99_s,
            rss_bytes=psutil.Process().memory_info().rss,
        ),
        devices=services.gpu_memory_manager.devices(),
        models=services.manager.models(),
        watches=_watches(services),
        alerts=tuple(AlertFact(a.text, a.at) for a in services.monitor.alerts[-_ALERTS:]),
        decisions=services.manager.decisions[-_DECISIONS:],
        asked=services.reservations.asked,
    )


def status_parts(services: Services, bot: DanzarBot | None, probes: Probes) -> StatusParts:
    """What the status server and its page show; ``bot`` is ``None`` without Discord."""
    return StatusParts(
        facts=partial(status_facts, services, bot),
        planner=services.manager,
        probes=probes,
        use=services.use_history,
        log=RING,
        decisions=lambda: services.manager.decisions,
        incidents=partial(_incidents, services),
        jobs=partial(_jobs, services),
    )


def _incidents(services: Services) -> list[dict[str, Any]]:
    """Those that last and the last ones that ended, the newest first."""
    book = services.incidents
    now = book.now()
    records = (*book.open_incidents, *book.recent_incidents[:_INCIDENTS])
    return [record_json(r, now) for r in sorted(records, key=lambda r: -r.number)]


async def _jobs(services: Services) -> list[dict[str, Any]]:
    """The newest jobs; none where jobs are switched off."""
    if services.jobs is None:
        return []
    return [job_json(job) for job in await services.jobs.recent(_JOBS)]


def _watches(services: Services) -> tuple[WatchFact, ...]:
    return tuple(
        WatchFact(w.id, w.source, w.seen, w.last.device if w.last else None)
        for w in services.watches.status()
        if w.ended is None
    )
