"""Watches how fast models answer since their load, and has those loaded smaller that spilt."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path

from danzar.core.device import CPU_UUID, DeviceSnapshot, find_device
from danzar.core.events import LoadFinished, Snapshots
from danzar.core.incident import Observation
from danzar.core.model import ModelFacts
from danzar.core.plan import PlacedOn
from danzar.core.pressure import Level
from danzar.core.spill import LoadedBytes, SpeedTrack
from danzar.json_file import read_json, write_json
from danzar.workers.contract import DetectedBatch, Generated, RankedBatch, Result

log = logging.getLogger(__name__)

SPEEDS_FILE = "speeds.json"
_MOST_SPEEDS = 256
_WRITE_INTERVAL_S = 60.0
# Shorter answers say little about speed.
_LEAST_S = 0.05


class SpillWatch:
    """Only models that are whole on real GPUs can spill.

    ``loaded`` and ``answered`` are told by the manager; ``observe`` is what people hear.
    """

    def __init__(
        self,
        path: Path,
        snapshots: Callable[[], Snapshots],
        load_smaller: Callable[[str, str], None],
    ) -> None:
        """Know nothing until ``run`` has read what earlier runs saw.

        Args:
            path: Where the usual speeds are kept.
            snapshots: The newest reading.
            load_smaller: Has a model loaded again with less on its device, for a reason.
        """
        self._path = path
        self._snapshots = snapshots
        self._load_smaller = load_smaller
        self._usual: dict[str, float] = {}
        self._tracks: dict[str, tuple[str, SpeedTrack]] = {}
        self._spilt: dict[str, str] = {}
        self._host_used_bytes: int | None = None

    def about_to_load(self) -> None:
        """Remember what host RAM in use is now, before a load changes it."""
        host = find_device(self._snapshots(), CPU_UUID)
        self._host_used_bytes = None if host is None else host.used_bytes

    def loaded(self, facts: ModelFacts, event: LoadFinished, placed: PlacedOn) -> None:
        """A load is done: watch its answers from now on."""
        self._keep(event.model)
        self._spilt.pop(event.model, None)
        device = find_device(event.snapshots, placed.device_uuid)
        if device is None or device.simulated or device.uuid == CPU_UUID:
            return
        name = f"{event.model} {placed.settings} {device.name}"
        loaded = self._where(facts, event, placed)
        self._tracks[event.model] = (name, SpeedTrack(loaded, self._usual.get(name)))

    def answered(self, model: str, result: Result, seconds: float) -> None:
        """A model answered; where that shows a spill, it is loaded again smaller."""
        known, amount = self._tracks.get(model), _amount(result)
        if known is None or amount == 0 or seconds < _LEAST_S:
            return
        spill = known[1].note(amount / seconds)
        if spill is not None and model not in self._spilt:
            self._spilt[model] = spill
            log.warning("%s has spilt: %s", model, spill)
            self._load_smaller(model, spill)

    def observe(self) -> list[Observation]:
        """What people are told: each spill until the model was loaded again."""
        text = "{} has spilt to host RAM: {}. It is loaded again with less on the card"
        told = [
            Observation(f"spill:{model}", Level.WARNING, text.format(model, why))
            for model, why in self._spilt.items()
        ]
        calm = self._tracks.keys() - self._spilt.keys()
        fine = "{} was loaded again and is where it was booked"
        return told + [
            Observation(f"spill:{model}", Level.NORMAL, fine.format(model))
            for model in sorted(calm)
        ]

    async def run(self) -> None:
        """Keep the usual speeds on disk, until cancelled."""
        known = await asyncio.to_thread(read_json, self._path, dict[str, float], "usual speeds")
        self._usual |= known or {}
        try:
            while True:
                await asyncio.sleep(_WRITE_INTERVAL_S)
                await self._write()
        finally:
            await asyncio.shield(self._write())

    async def _write(self) -> None:
        before = dict(self._usual)
        for model in tuple(self._tracks):
            self._keep(model, forget=False)
        if self._usual == before:
            return
        try:
            await asyncio.to_thread(write_json, self._path, self._usual)
        except OSError as exc:
            log.warning("usual speeds can't be written to %s: %s", self._path, exc)

    def _keep(self, model: str, *, forget: bool = True) -> None:
        """What a load taught about the usual speed."""
        known = self._tracks.get(model)
        if known is None:
            return
        name, track = known
        if forget:
            del self._tracks[model]
        if track.usual_per_s is not None:
            self._usual.pop(name, None)
            self._usual[name] = track.usual_per_s
            while len(self._usual) > _MOST_SPEEDS:
                del self._usual[next(iter(self._usual))]

    def _where(self, facts: ModelFacts, event: LoadFinished, placed: PlacedOn) -> LoadedBytes:
        cards = [share for share in placed.shares if share.device_uuid != CPU_UUID]
        measured = dict(event.measured)
        known = [measured[s.device_uuid] for s in cards if s.device_uuid in measured]
        shown = sum(known) if len(known) == len(cards) else None
        planned = sum(s.size_bytes for s in placed.shares if s.device_uuid == CPU_UUID)
        host: DeviceSnapshot | None = find_device(event.snapshots, CPU_UUID)
        grown: int | None = None
        if self._host_used_bytes is not None and host is not None and host.used_bytes is not None:
            expected = planned + facts.process_bytes
            grown = host.used_bytes - self._host_used_bytes - expected
        return LoadedBytes(sum(s.size_bytes for s in cards), shown, grown)


def _amount(result: Result) -> int:
    """What was done: tokens or pictures."""
    match result:
        case Generated(completion_tokens=tokens):
            return tokens
        case DetectedBatch(pictures=pictures) | RankedBatch(pictures=pictures):
            return len(pictures)
        case _:
            return 0
