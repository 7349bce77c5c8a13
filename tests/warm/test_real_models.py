"""The weights that ship, through real workers: out of one process, into the next one."""

import hashlib
from pathlib import Path

import msgspec
import pytest

from danzar.broker.warm_rules import warm_bytes
from danzar.config.load import load_config
from danzar.workers.contract import Detect, LoadSpec, Picture, Rank
from danzar.workers.process import WorkerProcess
from danzar.workers.segment import SUPPORTED, Segment

pytestmark = [
    pytest.mark.model,
    pytest.mark.process,
    pytest.mark.skipif(not SUPPORTED, reason="this system has no segments"),
]
MODELS = Path(__file__).parents[2] / "models"
YOLO_SHA256 = hashlib.sha256((MODELS / "yolo-nano.pt").read_bytes()).hexdigest()
YOLO = LoadSpec(
    "yolo",
    "yolo",
    str(MODELS / "yolo-nano.pt"),
    settings={"sha256": YOLO_SHA256, "imgsz": 320, "threads": 1},
)
CLIP = LoadSpec("clip", "clip", str(MODELS / "clip-doom"), settings={"threads": 1})
FRAME = Picture(64, 48, "rgb", bytes((i * 7) % 251 for i in range(64 * 48 * 3)))
DETECT = Detect((FRAME,), confidence=0.001)
RANK = Rank((FRAME,), ("an enemy", "nothing", "a boss"))


async def answer(worker, model, request):
    async for part in worker.run(model, request):
        result = getattr(part, "result", None)
    return result.pictures


async def test_yolo_and_clip_answer_the_same_from_host_ram_in_a_prepared_process():
    copies, segments, before = {}, [], {}
    config = load_config(MODELS.parent / "config", {})
    booked = {
        name: warm_bytes(config, listed, config.models.models[listed])
        for name, listed in (("yolo", "yolo-nano"), ("clip", "clip-doom"))
    }
    worker = await WorkerProcess.start("torch")
    try:
        for spec, request in ((YOLO, DETECT), (CLIP, RANK)):
            report = await worker.load(spec)
            assert not report.warm
            before[spec.name] = await answer(worker, spec.name, request)
            segment = Segment()
            segments.append(segment)
            copies[spec.name] = await worker.keep(
                spec.name, segment.address, booked[spec.name], timeout_s=60
            )
            segment.hold(copies[spec.name].size_bytes)
        # What was kept goes on answering, too.
        assert await answer(worker, "yolo", DETECT) == before["yolo"]
    finally:
        await worker.stop()

    waiting = await WorkerProcess.start("torch")
    try:
        await waiting.prepare(("clip", "yolo"))
        for spec, request in ((YOLO, DETECT), (CLIP, RANK)):
            copy = copies[spec.name]
            report = await waiting.load(msgspec.structs.replace(spec, warm=copy))
            assert report.warm
            assert await answer(waiting, spec.name, request) == before[spec.name]
        assert all(before.values())
    finally:
        await waiting.stop()
        for segment in segments:
            segment.close()
