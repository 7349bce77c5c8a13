"""The text in pictures, by rapidocr, which ships its models."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import cv2
import msgspec
import numpy as np
from rapidocr_onnxruntime import RapidOCR  # type: ignore[import-untyped]

from danzar.backends.pictures import Pixels, to_array
from danzar.backends.settings import read_settings
from danzar.errors import BadInput
from danzar.workers.contract import (
    Backend,
    Box,
    LoadReport,
    LoadSpec,
    Part,
    Picture,
    ReadLine,
    ReadText,
    Request,
    Result,
    TextBatch,
)

_WHOLE: Final[Box] = (0.0, 0.0, 1.0, 1.0)
# Letters below about 15 pixels are read badly; a crop of a HUD is enlarged, within reason.
_SHORT_SIDE: Final = 128
_MOST_ENLARGED: Final = 4.0


class OcrSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of the text reader.

    Attributes:
        threads: CPU threads.
        min_confidence: Lines below are dropped, 0 to 1.
        max_side: Larger pictures are scaled down to this, in pixels.
        turned: Also look for text that stands on its head.
    """

    threads: int = 1
    min_confidence: float = 0.5
    max_side: int = 960
    turned: bool = False


class OcrBackend:
    """The loaded text reader."""

    def __init__(self, engine: RapidOCR) -> None:
        self._engine = engine

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        if not isinstance(request, ReadText):
            raise BadInput(f"The text reader can't answer {type(request).__name__}.")
        regions = tuple(_check_region(region) for region in request.regions) or (_WHOLE,)
        read: list[tuple[ReadLine, ...]] = []
        for picture in request.pictures:
            if is_cancelled():
                break
            read.append(self._read(picture, regions))
        yield TextBatch(tuple(read))

    def close(self) -> None:
        """See ``Backend.close``."""
        del self._engine

    def _read(self, picture: Picture, regions: Sequence[Box]) -> tuple[ReadLine, ...]:
        pixels = to_array(picture)
        lines = [line for region in regions for line in self._read_region(pixels, region)]
        return tuple(sorted(lines, key=lambda line: (line.box[1], line.box[0])))

    def _read_region(self, pixels: Pixels, region: Box) -> Iterator[ReadLine]:
        height, width = pixels.shape[:2]
        left, top = int(region[0] * width), int(region[1] * height)
        right, bottom = round(region[2] * width), round(region[3] * height)
        crop = pixels[top : max(bottom, top + 1), left : max(right, left + 1), ::-1]
        scale = min(_MOST_ENLARGED, max(1.0, _SHORT_SIDE / min(crop.shape[:2])))
        enlarged = cv2.resize(
            np.ascontiguousarray(crop), None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC
        )
        found, _ = self._engine(enlarged)
        for corners, text, confidence in found or ():
            yield ReadLine(text, float(confidence), _to_box(corners, scale, left, top))


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    settings = read_settings(spec, OcrSettings)
    engine = RapidOCR(
        intra_op_num_threads=settings.threads,
        inter_op_num_threads=1,
        text_score=settings.min_confidence,
        use_cls=settings.turned,
        det_limit_type="max",
        det_limit_side_len=settings.max_side,
    )
    return OcrBackend(engine), LoadReport(None, {"engine": "rapidocr, PP-OCRv4"})


def _check_region(region: Box) -> Box:
    left, top, right, bottom = region
    if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
        raise BadInput(
            f"{region} is no region: four fractions from 0 to 1, left, top, right, bottom."
        )
    return region


def _to_box(corners: Any, scale: float, left: int, top: int) -> Box:  # noqa: ANN401
    xs = [float(x) / scale + left for x, _ in corners]
    ys = [float(y) / scale + top for _, y in corners]
    return min(xs), min(ys), max(xs), max(ys)
