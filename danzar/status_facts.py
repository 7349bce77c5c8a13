"""What the status API tells, read from the services at one instant."""

from datetime import UTC, datetime

import psutil

from danzar.bot import DanzarBot
from danzar.core.device import DeviceSnapshot, find_device
from danzar.core.scheduler import Instance
from danzar.http.status_json import AlertFact, BotFacts, ModelFact, StatusFacts, WatchFact
from danzar.services import Services

_MESSAGES = 50
_ALERTS = 20


def status_facts(services: Services, bot: DanzarBot) -> StatusFacts:
    """Everything that the API and the page beside the channel show."""
    scheduler = services.manager.scheduler
    return StatusFacts(
        bot=BotFacts(
            name=bot.user.name if bot.user else "Danzar",
            ready=bot.is_ready(),
            latency_s=bot.latency,
            loop_lag_p99_s=services.loop_lag.p99_s,
            rss_bytes=psutil.Process().memory_info().rss,
        ),
        devices=services.gpu_memory_manager.devices(),
        models=tuple(_model(i, scheduler.snapshots) for i in scheduler.instances.values()),
        watches=_watches(services),
        alerts=tuple(AlertFact(a.text, a.at) for a in services.monitor.alerts[-_ALERTS:]),
        messages=tuple(
            f"{datetime.fromtimestamp(d.at_s, UTC):%H:%M:%S} {d.text}"
            for d in services.manager.decisions[-_MESSAGES:]
        ),
    )


def _model(instance: Instance, snapshots: tuple[DeviceSnapshot, ...]) -> ModelFact:
    device = find_device(snapshots, instance.device_uuid) if instance.device_uuid else None
    label = device.label if device else None
    return ModelFact(instance.facts.name, str(instance.state), label, len(instance.queue))


def _watches(services: Services) -> tuple[WatchFact, ...]:
    return tuple(
        WatchFact(w.id, w.source, w.seen, w.last.device if w.last else None)
        for w in services.watches.status()
        if w.ended is None
    )
