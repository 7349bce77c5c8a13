"""What torch's backends share: threads, a card's share of memory, errors, and giving back."""

import contextlib
import gc
from collections.abc import Iterator

import torch

from danzar.errors import OutOfMemory
from danzar.workers.contract import LoadSpec


def prepare(spec: LoadSpec, threads: int | None, gpu_memory_fraction: float | None) -> torch.device:
    """The model's device, with this process's limits set.

    Args:
        spec: Whose ``torch_device`` is meant.
        threads: CPU threads of the whole process; ``None`` leaves torch's default.
        gpu_memory_fraction: Share (0 to 1) of the card that torch may reserve in this process.
    """
    if threads is not None:
        torch.set_num_threads(threads)
    device = torch.device(spec.torch_device)
    if device.type == "cuda" and gpu_memory_fraction is not None:
        torch.cuda.set_per_process_memory_fraction(gpu_memory_fraction, device)
    return device


def begin_computing() -> None:
    """Start torch's threads and its CPU kernels, which the first request would wait for."""
    with torch.inference_mode():
        torch.nn.functional.conv2d(torch.zeros(1, 3, 32, 32), torch.zeros(8, 3, 3, 3))


@contextlib.contextmanager
def memory_errors(name: str) -> Iterator[None]:
    """Turn torch's many ways to say that memory ran out into ``OutOfMemory``."""
    try:
        yield
    except torch.OutOfMemoryError as exc:
        torch.cuda.empty_cache()
        raise OutOfMemory(f"{name}: {exc}") from exc
    except RuntimeError as exc:
        if "allocate memory" in str(exc) or "out of memory" in str(exc):
            raise OutOfMemory(f"{name}: {exc}") from exc
        raise


def give_back() -> None:
    """Return to the driver what torch's allocator holds but no tensor uses."""
    gc.collect()
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def weights_bytes(model: torch.nn.Module) -> int:
    """Bytes of the parameters and buffers."""
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
