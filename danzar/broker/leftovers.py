"""At start: end what an earlier run left behind, so that the book begins with the truth.

Workers of a bot that was killed can't be adopted: the keys of their sockets died with it. They are
ended instead, each only if it is the very process that was written down (same id, same start), and
never while the bot that started it lives.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import psutil

from danzar.broker.identity import is_alive
from danzar.broker.journal import Journal, WorkerRow
from danzar.telemetry.sampler import Sampler

log = logging.getLogger(__name__)

_TERM_S = 1.0
_KILL_S = 3.0
_DRIVER_S = 5.0
_POLL_S = 0.02
_DRIVER_POLL_S = 0.1


@dataclass(frozen=True, slots=True)
class Leftovers:
    """What was found and done.

    Attributes:
        reaped: Orphans that lived and were ended.
        gone: Those that had ended by themselves.
        stuck: Orphans that even SIGKILL did not end: they hang in the driver.
        still_held: ``(device UUID, bytes)`` that the driver still shows for ended ones; ``None``
            where it does not say how much.
    """

    reaped: tuple[WorkerRow, ...] = ()
    gone: tuple[WorkerRow, ...] = ()
    stuck: tuple[WorkerRow, ...] = ()
    still_held: tuple[tuple[str, int | None], ...] = ()


async def reap_leftovers(journal: Journal, sampler: Sampler) -> Leftovers:
    """End orphaned workers, make the journal agree, and wait until the driver shows it.

    To be called before the manager runs. Takes milliseconds where nothing was left.

    Raises:
        danzar.errors.StoreFailed: The journal can't be read.
    """
    orphans = [row for row in await journal.workers() if not is_alive(row.owner)]
    if not orphans:
        await journal.strike_gone(())
        return Leftovers()
    found = await asyncio.to_thread(_end_all, orphans)
    await journal.strike_gone((*found.reaped, *found.gone))
    pids = {row.process.pid for row in (*found.reaped, *found.gone)}
    done = Leftovers(found.reaped, found.gone, found.stuck, await _held_by(sampler, pids))
    _tell(done)
    return done


def _end_all(orphans: Iterable[WorkerRow]) -> Leftovers:
    """Ask the living ones to end, then kill them and what they started. Blocks for seconds."""
    living = [row for row in orphans if is_alive(row.process)]
    gone = tuple(row for row in orphans if row not in living)
    families = [process for row in living for process in _family(row.process.pid)]
    for row in living:
        with contextlib.suppress(psutil.Error):
            psutil.Process(row.process.pid).terminate()
    _wait_for(lambda: not any(is_alive(row.process) for row in living), _TERM_S)
    for process in families:
        with contextlib.suppress(psutil.Error):  # gone; psutil tells a process id used again
            process.kill()
    _wait_for(lambda: not any(_lives(process) for process in families), _KILL_S)
    stuck = tuple(row for row in living if is_alive(row.process))
    return Leftovers(tuple(row for row in living if row not in stuck), gone, stuck)


def _family(pid: int) -> list[psutil.Process]:
    """A process and all that it started."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_for(is_done: Callable[[], bool], patience_s: float) -> None:
    deadline_s = time.monotonic() + patience_s
    while not is_done() and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)


async def _held_by(sampler: Sampler, pids: set[int]) -> tuple[tuple[str, int | None], ...]:
    """What the driver shows for processes that are gone, once it had time to notice."""
    deadline_s = time.monotonic() + _DRIVER_S
    while True:
        reading = await sampler.refresh()
        held = tuple(
            (s.uuid, p.used_bytes) for s in reading.snapshots for p in s.processes if p.pid in pids
        )
        if not held or time.monotonic() >= deadline_s:
            return held
        await asyncio.sleep(_DRIVER_POLL_S)


def _tell(found: Leftovers) -> None:
    for row in found.reaped:
        log.warning(
            "ended the orphaned worker %s (pid %d) of an earlier run", row.worker, row.process.pid
        )
    for row in found.stuck:
        log.error(
            "the orphaned worker %s (pid %d) does not end even by SIGKILL: it hangs in the driver; "
            "restart the machine to get its memory back",
            row.worker,
            row.process.pid,
        )
    for uuid, size_bytes in found.still_held:
        log.error(
            "device %s still shows %s bytes for workers that are gone",
            uuid,
            "unknown" if size_bytes is None else size_bytes,
        )
