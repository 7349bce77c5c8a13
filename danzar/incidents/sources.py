"""Further troubles that become incidents: machines gone silent, long queues, estimates that drift.

They mean the same as the rules of deploy/prometheus/alerts.yml.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from danzar.broker.news import LoadEnded, LoadOutcome, News
from danzar.broker.queue_view import QueueView
from danzar.config.alerts import AlertSettings
from danzar.core.device_text import harmless
from danzar.core.incident import Observation
from danzar.core.pressure import Level
from danzar.explain.memory_text import format_duration
from danzar.units import format_gib

_MOST_MODELS = 512


@dataclass(frozen=True, slots=True)
class Peer:
    """Another machine of the queue, as this one sees it.

    Attributes:
        silent_s: Since its last sign of life.
    """

    name: str
    lost: bool
    silent_s: float


def observe_peers(peers: Iterable[Peer]) -> list[Observation]:
    """One observation for each machine that is remembered."""
    return [_peer(peer) for peer in peers]


class QueueWatch:
    """Models for which too many wait for too long."""

    def __init__(
        self,
        queues: Callable[[], Sequence[QueueView]],
        settings: AlertSettings,
        now_s: Callable[[], float],
    ) -> None:
        """Look at ``queues`` whenever asked; ``settings`` may be replaced at any time."""
        self.settings = settings
        self._queues = queues
        self._now_s = now_s
        self._long_since_s: dict[str, float] = {}

    def observe(self) -> list[Observation]:
        """One observation for each model that anybody waits for, or did."""
        now_s, most = self._now_s(), self.settings.queue_waiting
        long = {v.model: v for v in self._queues() if len(v.waiting) > most}
        before = self._long_since_s
        self._long_since_s = {model: before.get(model, now_s) for model in long}
        told = [
            _queue(view, now_s - self._long_since_s[model])
            for model, view in long.items()
            if now_s - self._long_since_s[model] >= self.settings.queue_s
        ]
        calm = before.keys() - long.keys()
        return told + [
            Observation(_queue_key(m), Level.NORMAL, f"No more than {most} wait for {m}")
            for m in sorted(calm)
        ]


class DriftWatch:
    """Models whose last load took much more or less memory than was booked."""

    def __init__(self, settings: AlertSettings) -> None:
        """Know of no load yet; ``settings`` may be replaced at any time."""
        self.settings = settings
        self._loads: dict[str, LoadEnded] = {}

    def hear(self, news: News) -> None:
        """Take up what was measured; for ``NewsDesk.add_listener``."""
        if isinstance(news, LoadEnded) and news.outcome is LoadOutcome.LOADED:
            self._loads.pop(news.model, None)
            self._loads[news.model] = news
            while len(self._loads) > _MOST_MODELS:
                del self._loads[next(iter(self._loads))]

    def observe(self) -> list[Observation]:
        """One observation for each model whose load was measured."""
        return [
            _drift(load, load.measured_bytes, self.settings.drift_ratio)
            for load in self._loads.values()
            if load.measured_bytes
        ]


def _peer(peer: Peer) -> Observation:
    name = harmless(peer.name)
    if not peer.lost:
        return Observation(f"node:{peer.name}", Level.NORMAL, f"Machine {name} answers again")
    text = (
        f"Machine {name} went silent: no sign of life for {format_duration(peer.silent_s)}. Its "
        "jobs go to others. See whether it runs, and whether it reaches the queue (`!gpu nodes`)"
    )
    return Observation(f"node:{peer.name}", Level.CRITICAL, text)


def _queue(view: QueueView, long_s: float) -> Observation:
    text = (
        f"{len(view.waiting)} requests wait for {view.model}; the queue has been long for "
        f"{format_duration(long_s)}. See who waits: `!queue`"
    )
    return Observation(_queue_key(view.model), Level.WARNING, text)


def _queue_key(model: str) -> str:
    return f"queue:{model}"


def _drift(load: LoadEnded, measured_bytes: int, limit: float) -> Observation:
    key, off_bytes = f"drift:{load.model}", measured_bytes - load.booked_bytes
    took = f"{load.model} took {format_gib(measured_bytes)} at its last load"
    booked = f"{format_gib(load.booked_bytes)} were booked"
    share = abs(off_bytes) / measured_bytes
    if share <= limit:
        return Observation(key, Level.NORMAL, f"{took}, and {booked}: the estimate fits")
    text = (
        f"{took}, but {booked}: the estimate is off by {share:.0%}. It corrects itself with each "
        "load; if it stays, set `memory` for the model in config/models.yaml"
    )
    return Observation(key, Level.WARNING, text)
