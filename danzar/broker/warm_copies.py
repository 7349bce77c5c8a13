"""The weights that are kept in host RAM: held by the bot, written and read by workers."""

import asyncio
import hashlib
import logging
from dataclasses import dataclass
from pathlib import Path

import msgspec

from danzar.errors import BackendFailed
from danzar.workers.contract import LoadSpec, WarmCopy
from danzar.workers.process import WorkerProcess
from danzar.workers.segment import Segment

log = logging.getLogger(__name__)

# What a model is loaded with, and can be loaded without: it changes no weight.
_OF_THE_PROCESS = frozenset({"max_batch", "threads", "gpu_memory_fraction", "iou", "templates"})
# With these, weights on a card are others than on the CPU.
_OF_THE_DEVICE = ("half",)


@dataclass(frozen=True, slots=True)
class _Kept:
    """One copy.

    Attributes:
        source: What it was made from; see ``source_of``.
    """

    segment: Segment
    copy: WarmCopy
    source: str


class WarmCopies:
    """All copies, by model. Holding one is what keeps it in memory."""

    def __init__(self) -> None:
        self._kept: dict[str, _Kept] = {}

    async def keep(
        self, spec: LoadSpec, process: WorkerProcess, limit_bytes: int, timeout_s: float
    ) -> int:
        """Have a worker leave a copy of a model that it has; the bytes that it takes.

        Raises:
            danzar.errors.WorkerError: The worker ended, or can't keep it.
        """
        source = await asyncio.to_thread(source_of, spec)
        try:
            segment = Segment()
        except OSError as exc:
            raise BackendFailed(f"{spec.name} can't be kept: {exc}") from exc
        try:
            copy = await process.keep(spec.name, segment.address, limit_bytes, timeout_s=timeout_s)
            segment.hold(copy.size_bytes)
        except OSError as exc:
            segment.close()
            raise BackendFailed(f"{spec.name} was not kept: {exc}") from exc
        except BaseException:
            segment.close()
            raise
        await self.drop(spec.name)
        self._kept[spec.name] = _Kept(segment, copy, source)
        return copy.size_bytes

    async def equip(self, spec: LoadSpec) -> LoadSpec:
        """The same with the copy that a worker may take; without, where the file is another now."""
        kept = self._kept.get(spec.name)
        if kept is None:
            return spec
        if await asyncio.to_thread(source_of, spec) != kept.source:
            log.info("the warm copy of %s is of another file or setting", spec.name)
            return spec
        return msgspec.structs.replace(spec, warm=kept.copy)

    def has(self, model: str) -> bool:
        """Whether it is kept."""
        return model in self._kept

    async def drop(self, model: str) -> None:
        """Give a copy back; a worker that reads it just now keeps it until it is done."""
        kept = self._kept.pop(model, None)
        if kept is not None:
            await asyncio.to_thread(kept.segment.close)

    async def close(self) -> None:
        """Give all back."""
        for model in tuple(self._kept):
            await self.drop(model)


def source_of(spec: LoadSpec) -> str:
    """What a model's weights come from: the file as it is now, and the settings that shape them.

    Blocks for a look at the files.
    """
    settings = {k: v for k, v in spec.settings.items() if k not in _OF_THE_PROCESS}
    device = spec.torch_device if any(settings.get(k) for k in _OF_THE_DEVICE) else ""
    path = Path(spec.path or "")
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    stats = [(str(f), s.st_size, s.st_mtime_ns) for f in files if f.exists() and (s := f.stat())]
    what = (spec.backend, spec.checksum, device, settings, stats)
    return hashlib.sha256(msgspec.json.encode(what, order="deterministic")).hexdigest()
