"""One worker of the pool: its process, what its models hold, and whether that came back."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from danzar.broker.driver_view import DeviceBytes, not_back
from danzar.broker.mirror import CardMirror
from danzar.core.reload import LoadWay, ProcessFrom
from danzar.errors import OutOfMemory, WorkerError, WorkerHung
from danzar.workers.contract import LoadReport
from danzar.workers.process import WorkerProcess

log = logging.getLogger(__name__)

_POLL_S = 0.1

Measure = Callable[[int], Awaitable[Mapping[str, int] | None]]
"""What a process holds by device UUID, measured now; ``None`` when the driver is silent."""


@dataclass(frozen=True, slots=True)
class WorkerKey:
    """Which process: models of one worker on one device share it."""

    worker: str
    device_uuid: str


@dataclass(slots=True)
class HeldModel:
    """What one model holds, by device UUID: as booked, then as measured where that is known.

    Attributes:
        way: How it was loaded.
    """

    held_bytes: dict[str, int]
    report: LoadReport = field(default_factory=LoadReport)
    way: LoadWay = field(default_factory=LoadWay)

    def must_return(self, shown: Mapping[str, int]) -> dict[str, int]:
        """What must come back when it leaves and its process goes on, by device UUID.

        Its weights, where the driver shows the process at all; the CUDA context that it may have
        been the first to pay for stays with the process.
        """
        weights_bytes = self.report.weights_bytes or 0
        return {
            uuid: min(size, weights_bytes)
            for uuid, size in self.held_bytes.items()
            if uuid in shown
        }


@dataclass(slots=True, eq=False)
class PoolWorker:
    """A process and its models.

    Attributes:
        mirror: Where simulated cards show what it holds.
        patience_s: How long the driver may take to show bytes as free.
        came_from: Whether it was started for its first model, or had waited as a standby.
    """

    key: WorkerKey
    process: WorkerProcess
    mirror: CardMirror
    patience_s: float
    came_from: ProcessFrom = ProcessFrom.NEW
    models: dict[str, HeldModel] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def held_bytes(self, *, without: str | None = None) -> dict[str, int]:
        """The sum over its models, by device UUID."""
        total: dict[str, int] = defaultdict(int)
        for name, model in self.models.items():
            for uuid, size_bytes in model.held_bytes.items():
                total[uuid] += size_bytes if name != without else 0
        return dict(total)

    def show(self) -> None:
        """Let simulated cards show what it holds, as long as it lives.

        Raises:
            danzar.errors.OutOfMemory: One has no room for it.
        """
        if self.process.alive:
            self.mirror.show(self.pid, f"danzar-{self.key.worker}", self.held_bytes())

    def resize(self, name: str, device_uuid: str, more_bytes: int) -> None:
        """Let a model hold more, or less, of a device.

        Raises:
            danzar.errors.OutOfMemory: A simulated card has no room for it; nothing has changed.
        """
        held_bytes = self.models[name].held_bytes
        before = held_bytes.get(device_uuid, 0)
        held_bytes[device_uuid] = max(0, before + more_bytes)
        try:
            self.show()
        except OutOfMemory:
            held_bytes[device_uuid] = before
            self.show()
            raise

    async def close_model(self, name: str, measure: Measure) -> DeviceBytes:
        """Unload one model of several; what of its bytes did not come back, by device UUID."""
        shown = await measure(self.pid) or {}
        gone = self.models[name]
        try:
            await self.process.unload(name)
        except WorkerError as exc:
            log.warning("unload of %s: %s", name, exc)
        self.models.pop(name, None)
        if not self.process.alive:
            return await self.wait_back({}, gone.held_bytes, measure)
        self.show()
        leaving = gone.must_return(shown)
        due = {uuid: shown[uuid] - size for uuid, size in leaving.items()}
        return await self.wait_back(due, leaving, measure)

    async def end(self, measure: Measure) -> DeviceBytes:
        """End the process; what the driver still shows of its bytes then, by device UUID."""
        held_bytes = self.held_bytes()
        try:
            await self.process.stop()
        except WorkerHung as exc:
            log.error("%s", exc)  # noqa: TRY400 - for people; there is nothing to trace
        self.mirror.clear(self.pid)
        return await self.wait_back({}, held_bytes, measure)

    async def kill(self, measure: Measure) -> DeviceBytes:
        """End the process at once, whatever it does; as ``end`` otherwise."""
        held_bytes = self.held_bytes()
        try:
            await self.process.kill()
        except WorkerHung as exc:
            log.error("%s", exc)  # noqa: TRY400 - for people; there is nothing to trace
        self.mirror.clear(self.pid)
        return await self.wait_back({}, held_bytes, measure)

    async def wait_back(
        self, due: Mapping[str, int], leaving: Mapping[str, int], measure: Measure
    ) -> DeviceBytes:
        """Ask the driver until bytes are back; what is not, when patience ends.

        Args:
            due: What the process holds once all are back, by device UUID.
            leaving: What is to come back, by device UUID.
            measure: How the driver is asked.
        """
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + self.patience_s
        while True:
            lost = not_back(await measure(self.pid) or {}, due, leaving)
            if not lost or loop.time() >= deadline_s:
                return lost
            await asyncio.sleep(_POLL_S)
