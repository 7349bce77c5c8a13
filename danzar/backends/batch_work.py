"""What a batch takes: seconds, and the memory of its activations at their peak.

On a card by torch's allocator: what it took from the driver beyond what it held before, which
includes cuDNN's work space. On the CPU by following every tensor that torch makes until it dies;
scratch memory inside of kernels is not seen there.

Both count the whole process, so a figure is kept only when no other model computed meanwhile.
"""

import contextlib
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from danzar.workers.contract import BatchWork

# A size is timed as often as this, for so many seconds at most.
_MOST_TIMINGS: Final = 5
_TIMING_S: Final = 1.0


@dataclass(slots=True)
class _Turn:
    """One computation, and whether another model computed at the same time."""

    alone: bool = True


_lock = threading.Lock()
_turns: list[_Turn] = []


@contextlib.contextmanager
def computing() -> Iterator[_Turn]:
    """Inside, this thread's model computes; the turn tells whether it was alone in the process."""
    with _lock:
        turn = _Turn(alone=not _turns)
        for other in _turns:
            other.alone = False
        _turns.append(turn)
    try:
        yield turn
    finally:
        with _lock:
            _turns.remove(turn)


def timed_batch(
    compute: Callable[[], Any], *, batch: int, pixels: int, device: torch.device
) -> tuple[Any, BatchWork]:
    """Compute a batch, as requests do; what it gave, and its time (and on a card its memory)."""
    with computing() as turn:
        peak = _CardPeak(device) if device.type == "cuda" and turn.alone else None
        started_s = time.perf_counter()
        result = compute()
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        seconds = time.perf_counter() - started_s
        peak_bytes = peak.read() if peak is not None and turn.alone else None
    return result, BatchWork(batch, pixels, seconds if turn.alone else None, peak_bytes)


def measured_batch(
    compute: Callable[[], Any], *, batch: int, pixels: int, device: torch.device
) -> BatchWork:
    """Compute a batch some times, to learn what it takes: first its memory, then its time.

    The median of the times counts; the least would favour sizes that are timed more often.
    """
    if device.type == "cuda":
        torch.cuda.empty_cache()
        _, first = timed_batch(compute, batch=batch, pixels=pixels, device=device)
        peak_bytes = first.activation_bytes
    else:
        with computing() as turn, LiveBytes() as live:
            compute()
        peak_bytes = live.peak_bytes if turn.alone else None
    seconds: list[float] = []
    for _ in range(_MOST_TIMINGS):
        _, again = timed_batch(compute, batch=batch, pixels=pixels, device=device)
        seconds += [] if again.seconds is None else [again.seconds]
        if sum(seconds) > _TIMING_S:
            break
    return BatchWork(batch, pixels, median(seconds) if seconds else None, peak_bytes)


class _CardPeak:
    """How much more of a card torch took than it held at the beginning."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        torch.cuda.reset_peak_memory_stats(device)
        self._before_bytes = torch.cuda.memory_allocated(device)
        self._reserved_bytes = torch.cuda.memory_reserved(device)

    def read(self) -> int:
        """Bytes; at least what tensors held, and what the driver gave beyond the cache before."""
        tensors = torch.cuda.max_memory_allocated(self._device) - self._before_bytes
        taken = torch.cuda.max_memory_reserved(self._device) - self._reserved_bytes
        return max(tensors, taken)


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the memory of the tensors that are made inside, while they live.

    Attributes:
        peak_bytes: The most that lived at once.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak_bytes = 0
        self._live_bytes = 0
        self._known: dict[int, int] = {}

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: object,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401 - torch's own signature
        """Run the operation and note what it made."""
        out = func(*args, **(kwargs or {}))
        tree_map_only(torch.Tensor, self._note, out)
        return out

    def _note(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._known:
            return
        self._known[key] = storage.nbytes()
        self._live_bytes += self._known[key]
        self.peak_bytes = max(self.peak_bytes, self._live_bytes)
        weakref.finalize(storage, self._forget, key)

    def _forget(self, key: int) -> None:
        self._live_bytes -= self._known.pop(key, 0)
