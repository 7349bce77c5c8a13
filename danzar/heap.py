"""How memory that was freed comes back, in processes that run for months.

glibc gives each thread that finds the others busy a heap of its own, up to eight for each core, and
learns from the first freed picture to keep later ones in those heaps. A bot whose pictures pass
through a dozen threads so keeps twice what it uses, each heap as large as its worst moment.

Python looks through all objects for garbage that holds itself once those that are new are a quarter
of those that are old. Some 180,000 came with the imports: it looked every half hour, for a tenth of
a second and more, while garbage grew by megabytes.

Between blocks that live long, pages that became free stay with the process until it asks.
"""

import asyncio
import ctypes
import functools
import gc
import os
import sys
from collections.abc import Callable
from typing import NoReturn

_ARENA_MAX, _MMAP_THRESHOLD = -8, -3
_OWNERS_CHOICE = ("MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES", "LD_PRELOAD")
_HEAPS = 1
_OWN_MAPPING_BYTES = 256 * 1024
# New objects until a search among them; and how many of those until one that goes further back.
_SEARCHES = (700, 3, 2)
_GIVE_BACK_S = 300.0


def prepare_for_months() -> None:
    """What a process that lives long does first, before any thread begins; workers do it in part.

    A thread that came before, as the log's once did, keeps a heap of its own, and glibc gives that
    to later threads, too.
    """
    use_one_heap()
    map_large_blocks()


def use_one_heap() -> bool:
    """Use one heap for all threads. To be called before threads begin.

    Of a second one, glibc would keep the free pages at its end, tens of megabytes, even when it is
    asked for them.

    Returns:
        Whether it was done: with glibc alone, and where the owner's environment says nothing else.
    """
    return _tell_malloc(_ARENA_MAX, _HEAPS)


def map_large_blocks() -> bool:
    """Give large blocks back to the system as soon as they are freed.

    Not where tensors are computed: mapping each one anew took YOLO 1.8 times as long.

    Returns:
        As for ``use_one_heap``.
    """
    return _tell_malloc(_MMAP_THRESHOLD, _OWN_MAPPING_BYTES)


def set_imports_apart() -> None:
    """Leave what is there now out of all later searches for garbage: sooner, and far shorter ones.

    To be called once, when everything is imported and open. It takes a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    # Counts anew how many objects are old: those set apart no longer are among them.
    gc.collect()
    gc.set_threshold(*_SEARCHES)


def give_back() -> None:
    """Have the C library give its free pages to the system. Some milliseconds, for 40 MB."""
    if sys.platform == "win32":
        ctypes.cdll.msvcrt._heapmin()
        return
    trim = _malloc_trim()
    if trim is not None:
        trim(0)


async def give_back_regularly(every_s: float = _GIVE_BACK_S) -> NoReturn:
    """Until cancelled."""
    while True:
        await asyncio.sleep(every_s)
        await asyncio.to_thread(give_back)


def _tell_malloc(parameter: int, value: int) -> bool:
    if sys.platform != "linux" or any(name in os.environ for name in _OWNERS_CHOICE):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and bool(mallopt(parameter, value))


@functools.cache
def _malloc_trim() -> Callable[[int], int] | None:
    """Of glibc; musl and macOS have none, and give pages back by themselves."""
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
