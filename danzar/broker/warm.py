"""Carries out what ``danzar.core.warm`` decides: copies of weights, the standby, the page cache.

Whatever becomes of it is reported as an event, with a reading taken after it, so that the book and
the driver's figures agree.
"""

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from danzar.broker.journal import Journal
from danzar.broker.warm_base import Warm
from danzar.broker.warm_copies import WarmCopies
from danzar.broker.warm_pages import drop, read_ahead, resident_bytes
from danzar.broker.warm_standby import OnExit, Standby, holds_a_card
from danzar.core.events import (
    DropWarm,
    PagesSeen,
    Snapshots,
    StartStandby,
    WarmGone,
    WarmKept,
)
from danzar.core.warm_items import FilePages, WarmKey, WarmKind, standby_of, weights_of
from danzar.errors import BackendFailed, DanzarError
from danzar.workers.contract import ENGINES, LoadSpec
from danzar.workers.outcomes import WorkerExit, WorkerLimits
from danzar.workers.process import WorkerProcess

log = logging.getLogger(__name__)

# A copy that takes longer keeps whoever waits for the room waiting: it is given up. 150 MB/s were
# seen where five other programs wanted the same two cores.
_KEEP_S = 2.0
_KEEP_BYTES_PER_S = 150_000_000
_SETTLE_S = 2.0
_LOOK_EVERY_S = 30.0
# With this share of its file in the page cache, there is nothing to read ahead.
_THERE = 0.9


@dataclass(frozen=True, slots=True)
class WarmParts:
    """What the keeper works with.

    Attributes:
        backends: Of each model.
        files: Of each model whose file is mapped while it runs, where that is.
        limits: The workers' patience.
        refresh: Asks the driver anew.
    """

    backends: Mapping[str, str]
    files: Mapping[str, Path]
    limits: WorkerLimits
    journal: Journal
    refresh: Callable[[], Awaitable[Snapshots]]


class WarmKeeper(Warm):
    """Holds what is kept. For one event loop."""

    def __init__(self, parts: WarmParts) -> None:
        super().__init__()
        self._parts = parts
        self._copies = WarmCopies()
        self._specs: dict[str, LoadSpec] = {}
        self._standby: Standby | None = None
        self._dropping: set[asyncio.Event] = set()
        self._look = asyncio.Event()
        self._ending = threading.Event()
        self._pages: dict[str, FilePages] = {}
        self._had_pages: dict[str, bool] = {}
        self._wanted: list[str] = []

    # --- around loads and unloads ------------------------------------------------------------

    async def equip(self, spec: LoadSpec) -> LoadSpec:
        """Before a load: give it the warm copy where there is one that is still right.

        A file that is mapped is read into the page cache while the process starts.
        """
        pages = await self.pages_of(spec.name)
        self._had_pages[spec.name] = pages is not None and _is_there(pages)
        if pages is not None and pages.resident_bytes is not None and not _is_there(pages):
            self._wanted.append(spec.name)
            self.look_soon()
        equipped = await self._copies.equip(spec)
        if equipped.warm is None and self._copies.has(spec.name):
            await self._copies.drop(spec.name)
            await self._gone(weights_of(spec.name), "its file or its settings changed")
        self._specs[spec.name] = spec
        return equipped

    def take_standby(self, worker: str, gpus: tuple[str, ...], on_exit: OnExit) -> Standby | None:
        """The waiting process for this worker and these cards; its end is the taker's from now."""
        standby = self._standby
        if standby is None or (standby.worker, standby.gpus) != (worker, gpus):
            return None
        if not (standby.is_ready and standby.process.alive):
            return None
        self._standby, standby.on_exit = None, on_exit
        self.post(WarmGone(standby_of(worker), "it hosts models now", ()))
        return standby

    def had_pages(self, model: str) -> bool:
        """See ``Warm.had_pages``."""
        return self._had_pages.get(model, False)

    async def keep(self, model: str, process: WorkerProcess, limit_bytes: int) -> None:
        """See ``Warm.keep``. Others who need the memory have it first."""
        await self.settled()
        spec, key = self._specs.get(model), weights_of(model)
        try:
            if spec is None:
                raise BackendFailed("it was loaded by someone else")
            patience_s = _KEEP_S + limit_bytes / _KEEP_BYTES_PER_S
            size_bytes = await self._copies.keep(spec, process, limit_bytes, patience_s)
        except DanzarError as exc:
            log.info("%s is not kept warm: %s", model, exc)
            self.post(WarmGone(key, str(exc), ()))
        else:
            # The reading that follows, after the unload, shows it.
            self.post(WarmKept(key, size_bytes, ()))

    async def settled(self) -> None:
        """Return when what is being given back is back: a load counts on it."""
        waits = [asyncio.ensure_future(done.wait()) for done in self._dropping]
        if waits:
            await asyncio.wait(waits, timeout=_SETTLE_S)
            for wait in waits:
                wait.cancel()

    def pids(self) -> frozenset[int]:
        """The standby's process id."""
        standby = self._standby
        return frozenset({standby.pid}) if standby and standby.is_ready else frozenset()

    # --- effects -----------------------------------------------------------------------------

    async def drop(self, effect: DropWarm) -> None:
        """Give something back, and report it."""
        done = asyncio.Event()
        self._dropping.add(done)
        try:
            if effect.key.kind is WarmKind.WEIGHTS:
                await self._copies.drop(effect.key.name)
            else:
                standby, self._standby = self._standby, None
                if standby is not None:
                    standby.on_exit = self._struck
                    await standby.stop()
            log.info("%s: given back: %s", effect.key, effect.reason)
        finally:
            self._dropping.discard(done)
            done.set()
        await self._gone(effect.key, effect.reason)

    async def start_standby(self, effect: StartStandby, gpus: tuple[str, ...]) -> None:
        """Start a process for later, and report it."""
        key = standby_of(effect.worker)
        engine = effect.worker.partition(":")[0]
        backends = {b for b in self._parts.backends.values() if ENGINES[b] == engine}
        standby = self._standby = Standby(effect.worker, gpus, self._standby_ended)
        try:
            await standby.start(
                engine,
                tuple(sorted(backends)),
                self._parts.limits,
                lambda pid: self._parts.journal.note_worker(pid, str(key), effect.device_uuid),
            )
        except DanzarError as exc:
            if self._standby is standby:
                self._standby = None
            await self._gone(key, f"it could not be started: {exc}")
            return
        size_bytes = await asyncio.to_thread(standby.own_bytes)
        snapshots = await self._parts.refresh()
        if self._standby is standby and size_bytes is not None:
            self.post(WarmKept(key, size_bytes, snapshots))

    async def check(self, snapshots: Snapshots) -> None:
        """A standby must hold no card: end one that the driver shows there."""
        standby = self._standby
        if standby is not None and standby.is_ready and holds_a_card(snapshots, standby.pid):
            log.error("the standby of %s holds memory of a card, and is ended", standby.worker)
            await self.drop(DropWarm(standby_of(standby.worker), "it held memory of a card"))

    # --- the page cache ----------------------------------------------------------------------

    def look_soon(self) -> None:
        """Something was loaded or unloaded: look at the page cache."""
        self._look.set()

    async def pages_of(self, model: str) -> FilePages | None:
        """How much of a model's file is in the page cache now; ``None`` where it has no such file.

        Takes about a millisecond per GB.
        """
        path = self._parts.files.get(model)
        if path is None:
            return None
        return await asyncio.to_thread(_pages_of, model, path)

    async def read_ahead(self, model: str) -> None:
        """Read a model's file into the page cache, where it is not there; returns when it is."""
        pages = await self.pages_of(model)
        if pages is not None and not _is_there(pages):
            path = self._parts.files[model]
            await asyncio.to_thread(read_ahead, path, lambda: not self._ending.is_set())

    async def run(self) -> None:
        """Follow the page cache until cancelled; then give everything back."""
        try:
            while True:
                self._look.clear()
                while self._wanted:
                    await self.read_ahead(self._wanted.pop())
                await self._follow_pages()
                try:
                    async with asyncio.timeout(_LOOK_EVERY_S):
                        await self._look.wait()
                except TimeoutError:
                    pass
        finally:
            self._ending.set()
            await self.close()

    async def close(self) -> None:
        """Give everything back."""
        standby, self._standby = self._standby, None
        if standby is not None:
            standby.on_exit = self._struck
            await standby.stop()
        await self._copies.close()

    async def _follow_pages(self) -> None:
        await self._see(tuple(self._parts.files))
        unwanted = self.files_to_drop()
        for model in unwanted:
            await asyncio.to_thread(drop, self._parts.files[model])
        await self._see(unwanted)

    async def _see(self, models: Iterable[str]) -> None:
        """Report what has changed."""
        rows = [row for model in models if (row := await self.pages_of(model))]
        changed = tuple(row for row in rows if row != self._pages.get(row.model))
        self._pages.update((row.model, row) for row in changed)
        if changed:
            self.post(PagesSeen(changed))

    # --- reports -----------------------------------------------------------------------------

    async def _gone(self, key: WarmKey, reason: str) -> None:
        self.post(WarmGone(key, reason, await self._parts.refresh()))

    def _standby_ended(self, pid: int, how: WorkerExit) -> None:
        self._struck(pid, how)
        standby, self._standby = self._standby, None
        if standby is not None:
            log.warning("the standby of %s %s", standby.worker, how.cause)
            self.post(WarmGone(standby_of(standby.worker), how.cause, ()))

    def _struck(self, pid: int, how: WorkerExit) -> None:
        """It is gone from the journal."""
        del how
        self._parts.journal.strike_worker(pid)


def _is_there(pages: FilePages) -> bool:
    """Enough of it that there is nothing to read ahead."""
    known = pages.resident_bytes
    return known is not None and known >= _THERE * pages.file_bytes


def _pages_of(model: str, path: Path) -> FilePages | None:
    try:
        return FilePages(model, resident_bytes(path), path.stat().st_size)
    except OSError:
        return None
