"""What probes and Prometheus are answered: ``/health``, ``/ready`` and ``/metrics``."""

from importlib import metadata
from typing import Any

from danzar.bot import DanzarBot
from danzar.metrics.metrics import Metrics
from danzar.metrics.ready_facts import readiness_of
from danzar.readiness import Readiness
from danzar.services import Services

Json = dict[str, Any]
_OK, _UNAVAILABLE = 200, 503


class Probes:
    """HTTP status and body of each; made from memory, and never waiting."""

    def __init__(self, services: Services, bot: DanzarBot | None, metrics: Metrics) -> None:
        self._services = services
        self._bot = bot
        self._metrics = metrics
        self._version = metadata.version("danzar")

    def health(self) -> tuple[int, Json]:
        """Whether this process should be left alone: its loop answers, and its owner task lives."""
        if not self._services.manager.is_running:
            reason = "the task that owns the models has ended; start Danzar again"
            return _UNAVAILABLE, {"status": "stuck", "version": self._version, "reason": reason}
        return _OK, {"status": "alive", "version": self._version}

    def ready(self) -> tuple[int, Json]:
        """Whether it can do its work; what is missing, in words."""
        readiness = readiness_of(self._services, self._bot)
        return (_OK if readiness.ready else _UNAVAILABLE), ready_json(readiness)

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type."""
        return self._metrics.render(accept)


def ready_json(readiness: Readiness) -> Json:
    """All checks, and what is missing in words."""
    return {
        "ready": readiness.ready,
        "missing": list(readiness.missing),
        "checks": {c.name: {"ok": c.ok, "text": c.text} for c in readiness.checks},
    }
