"""Inside a worker: giving back memory that nothing uses, and torch's own figures of it."""

import gc
import sys
from typing import Any, Final

import psutil

from danzar.heap import give_back
from danzar.workers import protocol

_AGGRESSIVE_ROUNDS: Final = 3


def trim(message: protocol.Trim) -> protocol.Trimmed:
    """Collect garbage and empty torch's cache; aggressively also the C library's. Blocks.

    The C library gives back to the system what Python and torch freed on the host: on Linux only,
    elsewhere it does so by itself.
    """
    rss_before, before = _rss_bytes(), allocator()
    collected = sum(gc.collect() for _ in range(_AGGRESSIVE_ROUNDS if message.aggressive else 1))
    cuda = _cuda()
    if cuda is not None:
        cuda.empty_cache()
        if message.aggressive:
            cuda.reset_peak_memory_stats()
    if message.aggressive or cuda is None:
        give_back()
    after = allocator()
    return protocol.Trimmed(
        id=message.id,
        collected=collected,
        rss_before_bytes=rss_before,
        rss_after_bytes=_rss_bytes(),
        reserved_before_bytes=before.reserved_bytes if before else None,
        reserved_after_bytes=after.reserved_bytes if after else None,
    )


def allocator() -> protocol.Allocator | None:
    """What torch's allocator holds on this worker's cards; ``None`` where it is not in use."""
    cuda = _cuda()
    if cuda is None:
        return None
    figures = [cuda.memory_stats(n) for n in range(cuda.device_count())]

    def total(name: str) -> int:
        return sum(int(each.get(name, 0)) for each in figures)

    return protocol.Allocator(
        allocated_bytes=total("allocated_bytes.all.current"),
        reserved_bytes=total("reserved_bytes.all.current"),
        inactive_split_bytes=total("inactive_split_bytes.all.current"),
        alloc_retries=total("num_alloc_retries"),
    )


def _cuda() -> Any:  # noqa: ANN401 - a module that may not be imported here
    """``torch.cuda`` where this process uses it; torch is never imported for this."""
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    return cuda if cuda is not None and getattr(cuda, "is_initialized", bool)() else None


def _rss_bytes() -> int:
    return int(psutil.Process().memory_info().rss)
