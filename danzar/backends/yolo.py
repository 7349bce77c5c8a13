"""Objects in pictures, by ultralytics YOLO."""

import functools
import hashlib
import importlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
import numpy as np
import torch

from danzar.backends import torch_device, warm_weights
from danzar.backends.batch_work import measured_batch, timed_batch
from danzar.backends.pictures import to_array
from danzar.backends.settings import read_settings
from danzar.errors import BadInput, ModelMissing, ModelRefused
from danzar.workers.contract import (
    Backend,
    BatchWork,
    Detect,
    DetectedBatch,
    DetectedObject,
    LoadReport,
    LoadSpec,
    MeasureBatch,
    MeasuredBatch,
    Part,
    Picture,
    Request,
    Result,
    WarmCopy,
)

_READ_BYTES: Final = 1024**2
_LABELS_TOLD: Final = 20
_STRIDE_PX: Final = 32
# Read when ultralytics is imported: no installing at run time, no network, no foreign pickles.
_ENVIRONMENT: Final = {
    "YOLO_AUTOINSTALL": "false",
    "YOLO_OFFLINE": "true",
    "YOLO_VERBOSE": "false",
    "ULTRALYTICS_SAFE_LOAD": "true",
}


class YoloSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a YOLO model.

    Attributes:
        sha256: Checksum of the weights in the manifest. Without it they are refused: the file
            format is a pickle, which can run code.
        imgsz: Longer side, in pixels, that pictures are scaled to.
        max_batch: Pictures that are computed at once.
        iou: Overlap above which the weaker of two boxes is dropped.
        half: Compute in 16-bit floats on a card.
        threads: CPU threads of the process; ``None`` leaves torch's default.
        gpu_memory_fraction: Share of the card that the process may use.
    """

    sha256: str
    imgsz: int = 640
    max_batch: int = 16
    iou: float = 0.5
    half: bool = False
    threads: int | None = None
    gpu_memory_fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


class YoloBackend:
    """One loaded detector."""

    def __init__(self, name: str, model: Any, device: str, settings: YoloSettings) -> None:  # noqa: ANN401
        self._name = name
        self._model = model
        self._device = device
        self._settings = settings
        self._ids = {label: number for number, label in model.names.items()}

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        match request:
            case Detect():
                yield self._answer(request, is_cancelled)
            case MeasureBatch(batch):
                yield MeasuredBatch(self._measure(batch))
            case _:
                raise BadInput(f"A YOLO model can't answer {type(request).__name__}.")

    def _answer(self, request: Detect, is_cancelled: Callable[[], bool]) -> DetectedBatch:
        classes = self._class_ids(request.classes)
        found: list[tuple[DetectedObject, ...]] = []
        work: list[BatchWork] = []
        step = request.at_once or self._settings.max_batch
        for start in range(0, len(request.pictures), step):
            if is_cancelled():
                break
            batch = request.pictures[start : start + step]
            rows, took = timed_batch(
                functools.partial(self._detect, batch, request.confidence, classes),
                batch=len(batch),
                pixels=_pixels(batch, self._settings.imgsz),
                device=self._torch_device,
            )
            found += rows
            work.append(took)
        return DetectedBatch(tuple(found), tuple(work))

    def close(self) -> None:
        """See ``Backend.close``."""
        self._model = None
        torch_device.give_back()

    def freeze(self, address: str, limit_bytes: int) -> WarmCopy:
        """See ``Freezable.freeze``."""
        self._model.predictor = None  # made anew from the model by the next request
        return warm_weights.freeze(self._model, address, limit_bytes)

    def warm_up(self) -> None:
        """Compute once, so that loading shows the memory it takes and the first answer is quick.

        On a card a whole batch: the most that it will ever take is measured at the load.
        """
        count = 1 if self._device == "cpu" else self._settings.max_batch
        self._detect(self._blanks(count), 0.5, None)

    def _measure(self, count: int) -> BatchWork:
        return measured_batch(
            functools.partial(self._detect, self._blanks(count), 0.5, None),
            batch=count,
            pixels=self._settings.imgsz**2,
            device=self._torch_device,
        )

    def _blanks(self, count: int) -> tuple[Picture, ...]:
        side = self._settings.imgsz
        return (Picture(side, side, "rgb", bytes(3 * side * side)),) * count

    @property
    def _torch_device(self) -> torch.device:
        return torch.device(self._device)

    def _detect(
        self, pictures: tuple[Picture, ...], confidence: float, classes: list[int] | None
    ) -> list[tuple[DetectedObject, ...]]:
        # ultralytics takes arrays as OpenCV has them: blue first.
        arrays = [np.ascontiguousarray(to_array(picture)[..., ::-1]) for picture in pictures]
        with torch_device.memory_errors(self._name):
            results = self._model.predict(
                arrays,
                conf=confidence,
                classes=classes,
                imgsz=self._settings.imgsz,
                iou=self._settings.iou,
                half=self._settings.half,
                device=self._device,
                verbose=False,
            )
        return [_read_boxes(result) for result in results]

    def _class_ids(self, labels: tuple[str, ...]) -> list[int] | None:
        unknown = [label for label in labels if label not in self._ids]
        if unknown:
            raise BadInput(
                f"{self._name} knows no class {unknown[0]!r}; it knows {_list(self._ids)}."
            )
        return [self._ids[label] for label in labels] or None


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    settings = read_settings(spec, YoloSettings)
    device = torch_device.prepare(spec, settings.threads, settings.gpu_memory_fraction)
    kept = _from_warm(spec, device)
    model = _from_file(spec, settings, device) if kept is None else kept
    details = {"classes": _list(model.names.values()), "imgsz": str(settings.imgsz)}
    backend = YoloBackend(spec.name, model, spec.torch_device, settings)
    backend.warm_up()
    size_bytes = torch_device.weights_bytes(model.model)
    return backend, LoadReport(size_bytes, details, warm=kept is not None)


def prepare() -> None:
    """Import all that a load would, without touching a card."""
    _import_ultralytics()
    importlib.import_module("ultralytics.models.yolo.detect")
    importlib.import_module("torchvision.ops")
    torch_device.begin_computing()


def _from_warm(spec: LoadSpec, device: torch.device) -> Any:  # noqa: ANN401 - has no types
    if spec.warm is None:
        return None
    _import_ultralytics()
    with torch_device.memory_errors(spec.name):
        return warm_weights.thaw_or_none(spec.warm, device)


def _from_file(spec: LoadSpec, settings: YoloSettings, device: torch.device) -> Any:  # noqa: ANN401
    path = _check_file(spec, settings)
    make_yolo = _import_ultralytics()
    try:
        with torch_device.memory_errors(spec.name):
            model = make_yolo(str(path), task="detect")
            model.to(device)
    except (TypeError, AttributeError, KeyError, EOFError) as exc:
        raise ModelRefused(f"{spec.name}: {path} is no YOLO checkpoint: {exc}") from exc
    return model


def _check_file(spec: LoadSpec, settings: YoloSettings) -> Path:
    path = Path(spec.path or "")
    if not path.is_file():
        raise ModelMissing(f"{spec.name}: there is no file {path}. Try: danzar models pull")
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_READ_BYTES):
            digest.update(data)
    if digest.hexdigest() != settings.sha256.lower():
        raise ModelRefused(
            f"{spec.name}: {path} has the checksum {digest.hexdigest()}, but the manifest says "
            f"{settings.sha256}. The file is a pickle, which can run code, so it stays closed. "
            "Fetch it again, or correct the manifest."
        )
    return path


def _import_ultralytics() -> Callable[..., Any]:
    with tempfile.TemporaryDirectory() as folder:
        os.environ.update(_ENVIRONMENT | {"YOLO_CONFIG_DIR": folder})
        from ultralytics.models.yolo.model import YOLO
        from ultralytics.utils import SETTINGS

        SETTINGS.update({"sync": False})  # type: ignore[no-untyped-call]
    return YOLO


def _list(labels: Iterable[str]) -> str:
    """The labels for a message; where there are many, the first ones and their number."""
    every = list(labels)
    told = ", ".join(every[:_LABELS_TOLD])
    return told if len(every) <= _LABELS_TOLD else f"{told} and {len(every) - _LABELS_TOLD} more"


def _pixels(pictures: tuple[Picture, ...], side: int) -> int:
    """Of each picture, as ultralytics scales a batch: to its own shape where all have the same."""
    shapes = {(picture.width, picture.height) for picture in pictures}
    if len(shapes) != 1:
        return side * side
    width, height = shapes.pop()
    scale = side / max(width, height)
    strides = (math.ceil(round(x * scale) / _STRIDE_PX) * _STRIDE_PX for x in (width, height))
    return math.prod(strides)


def _read_boxes(result: Any) -> tuple[DetectedObject, ...]:  # noqa: ANN401
    boxes = result.boxes
    rows = zip(boxes.cls.tolist(), boxes.conf.tolist(), boxes.xyxy.tolist(), strict=True)
    found = (
        DetectedObject(result.names[int(number)], confidence, tuple(box))
        for number, confidence, box in rows
        if box[0] < box[2] and box[1] < box[3]  # what lay in the padding has no area left
    )
    return tuple(sorted(found, key=lambda each: -each.confidence))
