"""What loads really took corrects the next estimates: it is kept, and told to the planner."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from danzar.broker.measured import MeasuredKey, Measurements
from danzar.config.models import ModelEntry
from danzar.config.settings import Config
from danzar.core.device import CPU_UUID, DeviceSnapshot, find_device
from danzar.core.events import LoadFinished
from danzar.core.model import ModelFacts
from danzar.core.plan import PlacedOn
from danzar.core.variant import Variant
from danzar.errors import DanzarError, ModelError
from danzar.estimate.correct import correct, settings_key
from danzar.estimate.fingerprint import fingerprint
from danzar.estimate.variants import MIN_CONTEXT, estimate_file
from danzar.models.manifest import resolve
from danzar.workers.contract import ENGINES

log = logging.getLogger(__name__)

# Loads whose figures wait to be written; more than models that could be loaded at once.
_MOST_WAITING = 256


@dataclass(frozen=True, slots=True)
class _File:
    """A model's file as it was estimated, before any correction."""

    file_hash: str
    engine: str
    variants: tuple[Variant, ...]
    weights_bytes: int


class Corrections:
    """Only loads that are whole on one real GPU count: a simulated card measures nothing."""

    def __init__(
        self,
        config: Config,
        measurements: Measurements,
        change_variants: Callable[[str, tuple[Variant, ...]], None],
    ) -> None:
        """Correct nothing yet.

        Args:
            config: Where the models' files and settings are.
            measurements: What is known from earlier loads.
            change_variants: Tells the planner.
        """
        self._config = config
        self._measurements = measurements
        self._change_variants = change_variants
        self._loads: asyncio.Queue[tuple[ModelFacts, LoadFinished, PlacedOn]] = asyncio.Queue(
            _MOST_WAITING
        )

    def note(self, facts: ModelFacts, event: LoadFinished, placed: PlacedOn) -> None:
        """A load is done; its figures are worked up by ``run``."""
        if not self._loads.full():
            self._loads.put_nowait((facts, event, placed))

    async def run(self) -> None:
        """Work up what is noted, until cancelled."""
        while True:
            facts, event, placed = await self._loads.get()
            try:
                await self._learn(facts, event, placed)
            except DanzarError as exc:
                log.warning("what %s took is not kept: %s", facts.name, exc)

    async def begin(
        self, models: Iterable[ModelFacts], snapshots: tuple[DeviceSnapshot, ...]
    ) -> None:
        """Tell the planner what is known already, for the card that each model prefers.

        Raises:
            danzar.errors.StoreFailed: What was measured can't be read.
        """
        for facts in models:
            wanted = (find_device(snapshots, name) for name in facts.preferred)
            device = next((d for d in wanted if d is not None), None)
            if device is None or device.simulated:
                continue
            file = await asyncio.to_thread(self._file, facts.name)
            if file is not None:
                await self._correct(facts.name, file, device)

    async def _correct(self, name: str, file: _File, device: DeviceSnapshot) -> None:
        """Tell the planner how the variants turned out on this kind of card."""
        past = await self._measurements.for_file(file.engine, file.file_hash, device.name)
        settings = self._config.models.models[name].settings
        found = correct(
            file.variants,
            past,
            settings=settings,
            weights_bytes=file.weights_bytes,
            on_cpu=False,
        )
        self._change_variants(name, found.variants)

    async def _learn(self, facts: ModelFacts, event: LoadFinished, placed: PlacedOn) -> None:
        device = find_device(event.snapshots, placed.device_uuid)
        measured_bytes = dict(event.measured).get(placed.device_uuid)
        if device is None or device.simulated or measured_bytes is None:
            return
        file = await asyncio.to_thread(self._file, facts.name)
        variant = _variant(file, placed) if file else None
        booked = _loaded_as(facts.variants, placed)
        # The settings may have changed since it was loaded: then there is nothing to compare.
        if file is None or variant is None or booked is None or measured_bytes <= 0:
            return
        # What was booked beyond the model itself is the context of a new process.
        context_bytes = max(0, placed.size_bytes - booked.cuda_bytes)
        settings = self._config.models.models[facts.name].settings
        key = MeasuredKey(
            file.engine, file.file_hash, settings_key(settings, placed.settings), device.name
        )
        own_bytes = max(1, measured_bytes - context_bytes)
        await self._measurements.record(key, variant.cuda_bytes, own_bytes, time.time())
        await self._correct(facts.name, file, device)

    def _file(self, name: str) -> _File | None:
        """The estimate of a model's file; ``None`` where its size is set by hand, or not known."""
        entry = self._config.models.models[name]
        if entry.memory is not None:
            return None
        try:
            path = resolve(name, self._config)
            return None if path is None else _read(path, entry)
        except ModelError:
            return None


def _read(path: Path, entry: ModelEntry) -> _File:
    least = entry.min_context or MIN_CONTEXT
    found = estimate_file(path, entry.settings, entry.backend, min_context=least)
    engine = ENGINES[entry.backend]
    return _File(fingerprint(path), engine, found.variants, found.card.weights_bytes)


def _variant(file: _File, placed: PlacedOn) -> Variant | None:
    """As which variant it was loaded, where all of it is on one GPU."""
    gpus = [share for share in placed.shares if share.device_uuid != CPU_UUID]
    if len(gpus) != 1 or gpus[0].layers is not None:
        return None
    return _loaded_as(file.variants, placed)


def _loaded_as(variants: tuple[Variant, ...], placed: PlacedOn) -> Variant | None:
    return next((v for v in variants if v.settings == placed.settings), None)
