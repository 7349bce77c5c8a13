"""What the status API tells, read from the services at one instant."""

import psutil

from danzar.bot import DanzarBot
from danzar.http.status_json import AlertFact, BotFacts, StatusFacts, WatchFact
from danzar.services import Services

_DECISIONS = 50
_ALERTS = 20


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


def _watches(services: Services) -> tuple[WatchFact, ...]:
    return tuple(
        WatchFact(w.id, w.source, w.seen, w.last.device if w.last else None)
        for w in services.watches.status()
        if w.ended is None
    )
