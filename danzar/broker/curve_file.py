"""What batches took on this machine, in one JSON file, so that it is measured once.

Nothing here is dear: a file that can't be read is told in the log, and measuring begins anew.
"""

import asyncio
import logging
from pathlib import Path

import msgspec

from danzar.core.batch_curve import BatchCurve, BatchPoint
from danzar.json_file import read_json, write_json

log = logging.getLogger(__name__)

CURVES_FILE = "batch_curves.json"
MOST_CURVES = 64


class CurveKey(msgspec.Struct, frozen=True):
    """What a curve is of.

    Attributes:
        file_hash: As ``danzar.estimate.fingerprint`` gives it.
        settings: As ``danzar.estimate.correct.settings_key`` writes them.
        device_class: The card's name, or ``cpu``.
    """

    file_hash: str
    settings: str
    device_class: str


class _Row(msgspec.Struct, frozen=True):
    key: CurveKey
    points: tuple[BatchPoint, ...]


_Rows = tuple[_Row, ...]


class CurveFile:
    """The known curves; the newest 64 are kept."""

    def __init__(self, path: Path) -> None:
        """Know nothing until ``read``."""
        self._path = path
        self._curves: dict[CurveKey, BatchCurve] = {}

    async def read(self) -> None:
        """Know what earlier runs measured."""
        kept = "what batches took before"
        rows = await asyncio.to_thread(read_json, self._path, _Rows, kept) or ()
        self._curves = {row.key: BatchCurve(row.points) for row in rows[-MOST_CURVES:]}

    def curve(self, key: CurveKey) -> BatchCurve:
        """What is known; empty where nothing is."""
        return self._curves.get(key, BatchCurve())

    def keep(self, key: CurveKey, curve: BatchCurve) -> None:
        """Know this from now on; ``write`` puts it on disk."""
        self._curves.pop(key, None)
        self._curves[key] = curve
        while len(self._curves) > MOST_CURVES:
            del self._curves[next(iter(self._curves))]

    async def write(self) -> None:
        """Put what is known on disk; a disk that fails is told in the log and stops nothing."""
        rows = tuple(_Row(key, curve.points) for key, curve in self._curves.items())
        try:
            await asyncio.to_thread(write_json, self._path, rows)
        except OSError as exc:
            log.warning("what batches take can't be written to %s: %s", self._path, exc)
