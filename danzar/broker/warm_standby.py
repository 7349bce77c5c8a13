"""A worker process that waits with its engine's libraries imported, and holds no card."""

import logging
from collections.abc import Awaitable, Callable

import psutil

from danzar.core.events import Snapshots
from danzar.errors import DanzarError
from danzar.workers.outcomes import WorkerExit, WorkerLimits
from danzar.workers.process import WorkerProcess

log = logging.getLogger(__name__)

OnExit = Callable[[int, WorkerExit], None]
OnSpawn = Callable[[int], Awaitable[None]]


class Standby:
    """One waiting process, until a load takes it over.

    Attributes:
        gpus: The cards that it sees; a load needs exactly these.
        on_exit: Called with its process id and its end; whoever takes it over sets another one.
        is_ready: It has imported everything.
    """

    def __init__(self, worker: str, gpus: tuple[str, ...], on_exit: OnExit) -> None:
        self.worker = worker
        self.gpus = gpus
        self.on_exit = on_exit
        self.is_ready = False
        self._process: WorkerProcess | None = None

    async def start(
        self, engine: str, backends: tuple[str, ...], limits: WorkerLimits, on_spawn: OnSpawn
    ) -> None:
        """Start it and import what the backends need; returns when it is ready.

        Raises:
            danzar.errors.WorkerError: It could not be started; nothing is left of it.
        """
        self._process = await WorkerProcess.start(
            engine,
            name=self.worker,
            cuda_uuids=self.gpus,
            limits=limits,
            on_spawn=on_spawn,
            on_exit=self._exited,
        )
        try:
            seconds = await self._process.prepare(backends)
        except BaseException:
            await self.stop()
            raise
        self.is_ready = True
        log.info(
            "a standby for %s is ready, pid=%s, imports %.1f s", self.worker, self.pid, seconds
        )

    @property
    def process(self) -> WorkerProcess:
        """The process. Only after ``start``."""
        if self._process is None:
            raise AssertionError(f"the standby of {self.worker} was not started")
        return self._process

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def own_bytes(self) -> int | None:
        """Host RAM that would be back without it; ``None`` unknown. Blocks for some 10 ms."""
        try:
            return int(psutil.Process(self.pid).memory_full_info().uss)
        except psutil.Error:
            return None

    async def stop(self) -> None:
        """End it. A process that hangs is told in the log."""
        if self._process is not None:
            try:
                await self._process.stop()
            except DanzarError as exc:
                log.error("%s", exc)  # noqa: TRY400 - for people; there is nothing to trace

    def _exited(self, how: WorkerExit) -> None:
        self.on_exit(self.pid, how)


def holds_a_card(snapshots: Snapshots, pid: int) -> bool:
    """Whether the driver shows memory of this process: a standby must have none."""
    return any(
        process.pid == pid and process.used_bytes
        for snapshot in snapshots
        if snapshot.is_real_gpu
        for process in snapshot.processes
    )
