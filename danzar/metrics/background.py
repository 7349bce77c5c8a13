"""What takes a moment to find out, looked up every few seconds and told from memory."""

import asyncio
import logging
from collections.abc import Mapping

import psutil

from danzar.errors import DanzarError
from danzar.jobs.service import JobService

log = logging.getLogger(__name__)

_INTERVAL_S = 5.0
_TIMEOUT_S = 4.0


class Background:
    """The owner runs ``run`` in a TaskGroup.

    Attributes:
        resident_bytes: Host RAM of this process; ``None`` before the first look.
        waiting: Jobs that wait, by model; ``None`` while the queue does not say.
    """

    def __init__(self, jobs: JobService | None) -> None:
        self.resident_bytes: int | None = None
        self.waiting: Mapping[str, int] | None = None
        self._jobs = jobs
        self._process = psutil.Process()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(_INTERVAL_S)

    async def look(self) -> None:
        """Look once."""
        try:
            self.resident_bytes = (await asyncio.to_thread(self._process.memory_info)).rss
        except psutil.Error:
            self.resident_bytes = None
        self.waiting = None if self._jobs is None else await _waiting(self._jobs)


async def _waiting(jobs: JobService) -> Mapping[str, int] | None:
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await jobs.waiting()
    except (DanzarError, TimeoutError) as exc:
        log.debug("how many jobs wait is not known: %s", exc)
        return None
