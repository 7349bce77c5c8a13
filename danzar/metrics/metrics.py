"""Everything that is told to Prometheus, put together when somebody asks.

A scrape asks no driver and waits for nothing: all of it is in memory. It runs on the event loop, so
it has to be quick (``benchmarks/scrape.py``).
"""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import metadata

from danzar.bot import DanzarBot
from danzar.core.pressure import Level
from danzar.metrics import names
from danzar.metrics.background import Background
from danzar.metrics.cards import batch_families, card_families
from danzar.metrics.models import model_families
from danzar.metrics.own import (
    gateway_families,
    incident_families,
    node_families,
    process_families,
    ready_families,
    single,
)
from danzar.metrics.sources import Sources, sources_of
from danzar.metrics.tally import Tally
from danzar.metrics.text import (
    OPEN_METRICS_TYPE,
    TEXT_TYPE,
    Family,
    Rows,
    render,
    wants_open_metrics,
)
from danzar.running import running
from danzar.services import Services


@asynccontextmanager
async def open_metrics(services: Services, bot: DanzarBot | None) -> AsyncIterator["Metrics"]:
    """Count from now on, while the context lasts; ``bot`` is ``None`` without Discord."""
    background = Background(services.jobs)
    metrics = Metrics(sources_of(services, bot, background))
    services.optimizer.on_result = metrics.tally.optimized
    if services.jobs is not None:
        services.jobs.tell_ends(metrics.tally.job_ended)
    async with running(background.run()):
        yield metrics


class Metrics:
    """Answers ``/metrics``. For the event loop's thread.

    Attributes:
        tally: What is counted as it happens.
    """

    def __init__(self, sources: Sources) -> None:
        """Count what the broker tells from now on."""
        self._sources = sources
        state = sources.state
        self.tally = Tally(lambda: state.instances, lambda: state.snapshots)
        sources.news.add_listener(self.tally.hear)
        self._version = metadata.version("danzar")
        self._scrape_s: float | None = None

    def render(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type, as who asks likes it (the header ``Accept``)."""
        began_s = time.thread_time()
        is_open = wants_open_metrics(accept)
        body = render(self.families(), self._sources.node, open_metrics=is_open)
        self._scrape_s = time.thread_time() - began_s
        return body, OPEN_METRICS_TYPE if is_open else TEXT_TYPE

    def families(self) -> list[Family]:
        """All metrics as they are now, each once."""
        sources, tally = self._sources, self.tally
        return [
            *self._device_families(),
            *self._own_families(),
            *incident_families(sources.incidents(), sources.incidents_opened()),
            *node_families(sources.members()),
            *process_families(sources.workers(), sources.background.resident_bytes),
            (names.ESTIMATE_ERROR, tally.estimate_errors()),
            *tally.counts.families(),
        ]

    def _device_families(self) -> list[Family]:
        """Cards and what is on them; one that is gone is told of no more."""
        sources = self._sources
        devices = sources.devices()
        levels: dict[str, Level] = {}
        for device in devices:
            pressure = sources.pressure(device.snapshot.uuid)
            if pressure is not None:
                levels[device.snapshot.uuid] = pressure.level
        known = self.tally.devices
        known.see(device.snapshot for device in devices)
        there = {d.snapshot.uuid: known.labels(d.snapshot.uuid) for d in devices}
        return [
            *card_families(devices, levels, sources.allocators()),
            *batch_families(sources.batches(), there),
            *model_families(sources.state, there),
        ]

    def _own_families(self) -> list[Family]:
        sources = self._sources
        return [
            (names.BUILD_INFO, {(self._version,): 1}),
            *ready_families(sources.readiness()),
            *gateway_families(sources.gateway()),
            single(names.TELEMETRY_AGE, sources.figures_age_s()),
            single(names.LOOP_LAG, sources.loop_lag_s()),
            single(names.SCRAPE_SECONDS, self._scrape_s),
            (names.JOBS_WAITING, _jobs_waiting(sources)),
            (names.LOG_DROPPED, {(): sources.log_dropped()}),
        ]


def _jobs_waiting(sources: Sources) -> Rows:
    """Nothing while the queue does not say; 0 for a model of this machine that it does not name."""
    waiting = sources.background.waiting
    if waiting is None:
        return {}
    return {(model,): waiting.get(model, 0) for model in {**sources.state.instances, **waiting}}
