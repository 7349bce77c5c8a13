"""Giving back memory that nobody uses: of Danzar's own processes, and of nothing else.

``cleanup`` collects garbage and empties the caches of torch's allocator, in every worker and here.
``cleanup_aggressive`` collects several times and has the C library return its free pages as well.
Other programs' memory is never touched; loaded models stay loaded.
"""

import asyncio
import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import psutil

from danzar.core.device import CPU_UUID
from danzar.core.upkeep import TrimLevel, TrimReport, TrimRow
from danzar.heap import give_back
from danzar.resources.machine import DeviceRoom

_CYCLES = 3
BOT = "bot"

Trim = Callable[[TrimLevel], Awaitable[TrimReport]]


@dataclass(frozen=True, slots=True)
class CleanupRow:
    """What one process gave back.

    Attributes:
        process: A worker's name, or ``bot``.
        device: Where it works: ``cuda:N``, with a mark where that is simulated, or ``cpu``.
        memory: The device whose memory was freed: ``cpu`` for a worker of a simulated card, as
            that holds RAM and nothing else.
        freed_bytes: As the driver shows for a card, as the system shows for RAM; negative where
            the process took more meanwhile; ``None`` where nobody says.
        error: Why it gave nothing back.
    """

    process: str
    device: str
    memory: str
    freed_bytes: int | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class CleanupReport:
    """What a cleanup brought."""

    aggressive: bool
    rows: tuple[CleanupRow, ...]

    @property
    def freed_bytes(self) -> dict[str, int]:
        """By device, of what is known: of cards as the driver shows, of RAM as the system does."""
        found: dict[str, int] = {}
        for row in self.rows:
            if row.freed_bytes is not None:
                found[row.memory] = found.get(row.memory, 0) + row.freed_bytes
        return found


async def clean(
    trim: Trim, level: TrimLevel, find: Callable[[str], DeviceRoom | None]
) -> CleanupReport:
    """Have the workers trimmed, then this process. Waits for them.

    Args:
        trim: ``Upkeep.trim``.
        level: How thoroughly.
        find: The device of that UUID; ``None`` where it is no longer there.
    """
    report = await trim(level)
    rows = [_row(row, find(row.device_uuid)) for row in report.rows]
    # The collector holds the interpreter while it runs: tens of milliseconds, in any thread.
    freed_bytes = await asyncio.to_thread(_clean_here, level)
    aggressive = level is TrimLevel.AGGRESSIVE
    return CleanupReport(aggressive, (*rows, CleanupRow(BOT, CPU_UUID, CPU_UUID, freed_bytes)))


def _row(row: TrimRow, room: DeviceRoom | None) -> CleanupRow:
    if room is None:
        return CleanupRow(row.worker, row.device_uuid, row.device_uuid, row.freed_bytes, row.error)
    device = f"{room.label} (simulated)" if room.simulated else room.label
    memory = CPU_UUID if room.simulated else room.label
    return CleanupRow(row.worker, device, memory, row.freed_bytes, row.error)


def _clean_here(level: TrimLevel) -> int:
    process = psutil.Process()
    before = process.memory_info().rss
    for _ in range(_CYCLES if level is TrimLevel.AGGRESSIVE else 1):
        gc.collect()
    if level is TrimLevel.AGGRESSIVE:
        give_back()
    return int(before - process.memory_info().rss)
