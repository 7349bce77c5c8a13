"""Carries out loads and unloads, verifies each step with the driver, and reports what came of it.

load     a fresh reading: is what was booked free?   no: TOO_FULL, and nothing was touched
         the leases go to the journal, the worker loads, the driver measures what that took
unload   the worker closes the model or ends; the driver must show 90 % of the bytes back
         (``pool``); what stays is reported as lost, and the book keeps it from everyone
cancel   a load ahead ends before it is done: its process is killed; then as after an unload
"""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from danzar.broker.decision import Decision, DecisionKind, make_decision, unload_kind
from danzar.broker.driver_view import held_by, is_on_cpu, shortage
from danzar.broker.journal import LeaseRow
from danzar.broker.news import LoadEnded, LoadOutcome, ModelLost, NewsDesk, UnloadBegan
from danzar.broker.pool import WorkerPool
from danzar.broker.pool_worker import Measure
from danzar.core.book import LeaseState
from danzar.core.device import DeviceSnapshot, find_device
from danzar.core.events import (
    CancelLoad,
    DeviceBytes,
    Event,
    LoadFailed,
    LoadFailure,
    LoadFinished,
    Snapshots,
    StartLoad,
    StartUnload,
    UnloadFinished,
)
from danzar.errors import DanzarError, OutOfMemory, TelemetryUnavailable
from danzar.telemetry.sampler import Sampler
from danzar.units import format_size

log = logging.getLogger(__name__)

_KEPT_DECISIONS = 200

_OUTCOMES = {
    LoadFailure.OUT_OF_MEMORY: LoadOutcome.OUT_OF_MEMORY,
    LoadFailure.TOO_FULL: LoadOutcome.TOO_FULL,
    LoadFailure.ERROR: LoadOutcome.ERROR,
}

Unload = Callable[[str, Measure], Awaitable[DeviceBytes]]


@dataclass(slots=True)
class _Running:
    """A load under way.

    Attributes:
        work: The part of it that may be cancelled.
        over: Set when all of it is over, and reported unless it was cancelled.
    """

    work: asyncio.Task[DeviceBytes]
    began_s: float = field(default_factory=time.monotonic)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    cancelled: bool = False


class _TooFullError(Exception):
    """The driver shows less free than was booked."""


class Loader:
    """The slow half of the manager. Every step ends with exactly one event.

    Attributes:
        decisions: The last steps, oldest first; bounded.
        news: Where the end of every load and the begin of every unload is told.
    """

    def __init__(self, pool: WorkerPool, sampler: Sampler, post: Callable[[Event], None]) -> None:
        """Work on ``pool``, measure through ``sampler``, report through ``post``."""
        self._pool = pool
        self._sampler = sampler
        self._post = post
        self._in_flight: dict[int, StartLoad] = {}
        self._running: dict[int, _Running] = {}
        self._resident: dict[str, StartLoad] = {}
        self.decisions: deque[Decision] = deque(maxlen=_KEPT_DECISIONS)
        self.news = NewsDesk()

    async def load(self, effect: StartLoad, device: DeviceSnapshot) -> None:
        """Load a model and report ``LoadFinished`` or ``LoadFailed``."""
        self._decide(DecisionKind.LOAD, effect.model, effect.placed.reason, device.label)
        self._in_flight[effect.load_id] = effect
        running = _Running(asyncio.ensure_future(self._load(effect, device)))
        self._running[effect.load_id] = running
        try:
            measured = await running.work
        except asyncio.CancelledError:
            if not running.cancelled:
                raise
            self._tell_ended(effect, LoadOutcome.CANCELLED)
        except _TooFullError as exc:
            await self._failed(effect, str(exc), LoadFailure.TOO_FULL)
        except OutOfMemory as exc:
            await self._failed(effect, str(exc), LoadFailure.OUT_OF_MEMORY)
        except DanzarError as exc:
            await self._failed(effect, str(exc), LoadFailure.ERROR)
        except Exception as exc:
            log.exception("loading %s failed", effect.model)
            await self._failed(effect, f"an unexpected {type(exc).__name__}", LoadFailure.ERROR)
        else:
            if running.cancelled:
                self._tell_ended(effect, LoadOutcome.CANCELLED)
            else:
                await self._finished(effect, device, measured, running.began_s)
        finally:
            del self._in_flight[effect.load_id], self._running[effect.load_id]
            running.over.set()

    async def cancel(self, effect: CancelLoad) -> None:
        """End a load that was begun, and report ``UnloadFinished``, with what did not come back.

        Its process is killed. Where that hosts other models, the load comes to its end first.
        """
        where = _label(self._sampler.reading.snapshots, effect.device_uuid)
        reason = f"its load was cancelled: {effect.reason}"
        self._decide(DecisionKind.UNLOAD, effect.model, reason, where)
        running = self._running.get(effect.load_id)
        if running is not None:
            running.cancelled = True
            if self._pool.can_cancel(effect.model):
                running.work.cancel()
            await running.over.wait()
        await self._unloaded(effect, self._pool.end_cancelled)

    async def unload(self, effect: StartUnload) -> None:
        """Unload a model and report ``UnloadFinished``, with what did not come back."""
        where = _label(self._sampler.reading.snapshots, effect.device_uuid)
        self._decide(unload_kind(effect.cause), effect.model, effect.reason, where)
        self.news.tell(UnloadBegan(effect.model, effect.device_uuid, effect.cause))
        if effect.keep_bytes:
            await self._pool.keep(effect.model, effect.keep_bytes)
        await self._unloaded(effect, self._pool.unload)

    async def _unloaded(self, effect: StartUnload | CancelLoad, unload: Unload) -> None:
        loaded = self._resident.pop(effect.model, None)
        if loaded is not None:
            await self._note(loaded, LeaseState.RELEASING)
        lost: DeviceBytes = ()
        try:
            lost = await unload(effect.model, self._measure)
        except DanzarError as exc:
            # The worker is gone, and with it everything that it held.
            log.warning("unload of %s: %s", effect.model, exc)
        self._pool.journal.strike_load(effect.load_id)
        snapshots = (await self._sampler.refresh()).snapshots
        if loaded is not None and lost:
            await self._lost(loaded, lost, snapshots)
        self._pool.warm.look_soon()
        self._post(UnloadFinished(effect.model, effect.load_id, snapshots, lost))

    def note_lost(self, model: str, device_uuid: str, reason: str) -> None:
        """Keep for people that a model went down with its worker."""
        where = _label(self._sampler.reading.snapshots, device_uuid)
        self._decide(DecisionKind.LOST, model, reason, where)
        self.news.tell(ModelLost(model, device_uuid))

    # --- one load ----------------------------------------------------------------------------

    async def _load(self, effect: StartLoad, device: DeviceSnapshot) -> DeviceBytes:
        await self._pool.warm.settled()
        await self._check_room(effect)
        await self._note(effect, LeaseState.CLAIMED)
        return await self._pool.load(effect.model, device, effect.placed, self._measure)

    async def _check_room(self, effect: StartLoad) -> None:
        """See that what was booked is still free.

        Raises:
            _TooFullError: It is not.
            TelemetryUnavailable: The driver does not say what is free on a GPU.
        """
        reading = await self._sampler.refresh()
        if reading.error is not None and not is_on_cpu(effect.placed.shares):
            raise TelemetryUnavailable(f"nothing is loaded unseen: {reading.error}")
        coming: Counter[str] = Counter()
        for earlier in self._in_flight.values():
            if earlier.load_id < effect.load_id:
                coming.update(self._still_to_come(earlier, reading.snapshots))
        short = shortage(reading.snapshots, effect.placed.shares, coming)
        if short is not None:
            raise _TooFullError(short)

    def _still_to_come(self, load: StartLoad, snapshots: Snapshots) -> dict[str, int]:
        begun = self._pool.still_to_come(load.model, lambda pid: held_by(snapshots, pid))
        booked = {share.device_uuid: share.size_bytes for share in load.placed.shares}
        return booked if begun is None else begun

    async def _finished(
        self, effect: StartLoad, device: DeviceSnapshot, measured: DeviceBytes, began_s: float
    ) -> None:
        seconds = time.monotonic() - began_s
        await self._note(effect, LeaseState.RESIDENT, dict(measured))
        snapshots = (await self._sampler.refresh()).snapshots
        try:
            self._pool.process(effect.model)
        except DanzarError as exc:  # it died meanwhile, which was told of a model still loading
            await self._failed(effect, str(exc), LoadFailure.ERROR)
            return
        self._resident[effect.model] = effect
        # A simulated card shows what was booked: nothing was measured.
        known = () if device.simulated else measured
        way = self._pool.way_of(effect.model)
        self._pool.warm.look_soon()
        self._tell_ended(effect, LoadOutcome.LOADED, measured=dict(known))
        self._post(LoadFinished(effect.model, effect.load_id, known, snapshots, seconds, way))

    async def _failed(self, effect: StartLoad, reason: str, cause: LoadFailure) -> None:
        where = _label(self._sampler.reading.snapshots, effect.device_uuid)
        self._decide(DecisionKind.FAILED, effect.model, reason, where)
        self._tell_ended(effect, _OUTCOMES[cause], reason)
        self._pool.journal.strike_load(effect.load_id)
        snapshots = (await self._sampler.refresh()).snapshots
        self._post(LoadFailed(effect.model, effect.load_id, reason, cause, snapshots))

    def _tell_ended(
        self,
        effect: StartLoad,
        outcome: LoadOutcome,
        reason: str = "",
        measured: Mapping[str, int] | None = None,
    ) -> None:
        known = measured or {}
        booked = (s.size_bytes for s in effect.placed.shares if s.device_uuid in known)
        self.news.tell(
            LoadEnded(
                model=effect.model,
                device_uuid=effect.device_uuid,
                outcome=outcome,
                seconds=time.monotonic() - self._running[effect.load_id].began_s,
                reason=reason,
                booked_bytes=sum(booked),
                measured_bytes=sum(known.values()) if known else None,
            )
        )

    async def _lost(self, loaded: StartLoad, lost: DeviceBytes, snapshots: Snapshots) -> None:
        await self._note(loaded, LeaseState.QUARANTINED, dict(lost))
        for uuid, size_bytes in lost:
            where = _label(snapshots, uuid)
            reason = f"{format_size(size_bytes)} did not come back, and nobody gets them until then"
            self._decide(DecisionKind.UNLOAD, loaded.model, reason, where)
            log.error("unload of %s: %s", loaded.model, reason)

    # --- what is measured and written down -----------------------------------------------------

    async def _measure(self, pid: int) -> dict[str, int] | None:
        """What a process holds by device as the driver says now; ``None`` when it is silent."""
        reading = await self._sampler.refresh()
        return None if reading.error is not None else held_by(reading.snapshots, pid)

    async def _note(
        self, load: StartLoad, state: LeaseState, sizes: Mapping[str, int] | None = None
    ) -> None:
        """Write a load's leases to the journal; ``sizes`` replaces what was booked."""
        known = sizes or {}
        rows = [
            LeaseRow(
                load_id=load.load_id,
                device_uuid=share.device_uuid,
                model=load.model,
                worker=self._pool.worker_name(load.model),
                host_uuid=load.device_uuid,
                size_bytes=known.get(share.device_uuid, share.size_bytes),
                state=state,
            )
            for share in load.placed.shares
            if state is not LeaseState.QUARANTINED or share.device_uuid in known
        ]
        await self._pool.journal.note_leases(rows)

    def _decide(
        self, kind: DecisionKind, model: str, reason: str, device: str | None = None
    ) -> None:
        decision = make_decision(time.time(), kind, model, reason, device)
        log.info("%s", decision.text)
        self.decisions.append(decision)


def _label(snapshots: Snapshots, uuid: str) -> str:
    device = find_device(snapshots, uuid)
    return device.label if device is not None else uuid
