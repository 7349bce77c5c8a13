"""One contract for all backends, each in a real worker: the fake passes what the real ones do."""

import asyncio
import hashlib
import sys
from dataclasses import dataclass
from typing import Any

import psutil
import pytest
import pytest_asyncio

from danzar import errors
from danzar.workers.contract import (
    BACKENDS,
    ENGINES,
    Annotate,
    AnnotatedPicture,
    ChatMessage,
    Detect,
    DetectedBatch,
    Generate,
    Generated,
    GeneratedImages,
    GenerateImages,
    LoadSpec,
    Part,
    Rank,
    RankedBatch,
    ReadText,
    TextBatch,
)
from danzar.workers.outcomes import Finished
from danzar.workers.process import WorkerProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.model,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(sys.platform == "win32", reason="checked on Linux"),
]


@dataclass
class Case:
    spec: LoadSpec
    request: Any
    result: type
    foreign: Any


TALK = Generate((ChatMessage("user", "hello there"),), max_tokens=5)


@pytest.fixture(scope="module", params=list(BACKENDS))
def case(request, gguf, scene):
    name = request.param
    if name in ("yolo", "clip"):
        models = request.getfixturevalue("models")
        weights = models / "yolo.pt"
        sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    cases = {
        "llama": lambda: Case(
            LoadSpec("m", "llama", gguf, settings={"n_ctx": 256, "n_threads": 1}),
            TALK,
            Generated,
            Rank((scene,), ("a",)),
        ),
        "yolo": lambda: Case(
            LoadSpec("m", "yolo", str(weights), settings={"sha256": sha256, "threads": 1}),
            Detect((scene, scene)),
            DetectedBatch,
            TALK,
        ),
        "clip": lambda: Case(
            LoadSpec("m", "clip", str(models / "clip")),
            Rank((scene, scene), ("a boss", "nothing")),
            RankedBatch,
            TALK,
        ),
        "ocr": lambda: Case(
            LoadSpec("m", "ocr", None), ReadText((scene,)), TextBatch, Rank((scene,), ("a",))
        ),
        "media": lambda: Case(
            LoadSpec("m", "media", None), Annotate(scene, ()), AnnotatedPicture, TALK
        ),
        "diffusion": lambda: Case(
            LoadSpec(
                "m",
                "diffusion",
                str(request.getfixturevalue("tiny_pipelines").sd),
                settings={"width": 64, "height": 64, "steps": 2, "threads": 1},
            ),
            GenerateImages("a house", width=64, height=64),
            GeneratedImages,
            TALK,
        ),
        "echo": lambda: Case(LoadSpec("m", "echo", None), TALK, Generated, Detect((scene,))),
    }
    return cases[name]()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def workers():
    """By engine: as in the bot, backends that need the same libraries share a process."""
    started: dict[str, WorkerProcess] = {}
    try:
        yield started
    finally:
        for worker in started.values():
            await worker.stop()
            assert not psutil.pid_exists(worker.pid)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def worker(case, workers):
    engine = ENGINES[case.spec.backend]
    worker = workers.get(engine) or await WorkerProcess.start(engine)
    workers[engine] = worker
    await worker.load(case.spec, timeout_s=120)
    yield worker
    await worker.unload("m")


async def collect(worker, model, request):
    return [item async for item in worker.run(model, request)]


async def test_parts_come_first_and_exactly_one_result_last(worker, case):
    *parts, finished = await collect(worker, "m", case.request)
    assert all(isinstance(part, Part) for part in parts)
    assert isinstance(finished, Finished)
    assert isinstance(finished.result, case.result)


async def test_a_request_for_another_kind_of_model_is_bad_input_and_harmless(worker, case):
    with pytest.raises(errors.BadInput, match="can't answer"):
        await collect(worker, "m", case.foreign)
    assert isinstance((await collect(worker, "m", case.request))[-1], Finished)


async def test_a_request_can_be_given_up_and_the_next_one_is_answered(worker, case):
    task = asyncio.create_task(collect(worker, "m", case.request))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert isinstance((await collect(worker, "m", case.request))[-1], Finished)


async def test_unknown_settings_are_refused_by_name(worker, case):
    spec = LoadSpec("odd", case.spec.backend, case.spec.path, settings={"sha256": "x", "bogus": 1})
    with pytest.raises(errors.ModelRefused, match=r"bogus|sha256"):
        await worker.load(spec)


async def test_a_closed_model_can_be_loaded_again(worker, case):
    await worker.unload("m")
    await worker.load(case.spec)
    assert isinstance((await collect(worker, "m", case.request))[-1], Finished)


async def test_a_file_that_is_not_there_is_missing(worker, case):
    if case.spec.path is None:
        pytest.skip("this backend ships its own weights")
    spec = LoadSpec("gone", case.spec.backend, "/nowhere/at/all", settings=case.spec.settings)
    with pytest.raises(errors.ModelMissing, match="nowhere"):
        await worker.load(spec)
