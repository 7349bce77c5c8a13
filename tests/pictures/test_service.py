"""Who makes a picture: this machine, another one, or nobody."""

import asyncio
from contextlib import aclosing
from dataclasses import dataclass

import pytest

from danzar.config.jobs import JobsConfig
from danzar.config.models import ModelEntry, ModelsConfig, RoleChoice
from danzar.config.settings import Config
from danzar.errors import DanzarError, ModelMissing
from danzar.inference import Placed
from danzar.inference_fake import Hold, ScriptedInference
from danzar.jobs.contract import JobState
from danzar.jobs.open_jobs import open_jobs
from danzar.pictures.elsewhere import model_elsewhere
from danzar.pictures.made import Made
from danzar.pictures.room import NoRoom, Run, Smaller, decide
from danzar.pictures.service import Parts, PictureService, Sizes
from danzar.pictures.sizes import Size
from danzar.resources.requirement import OptimizationSuggestion
from danzar.workers.contract import (
    GeneratedImages,
    GenerateImages,
    GenerateVideo,
    Picture,
    StepDone,
)

CASTLE = GenerateImages("a castle", width=64, height=64, seed=7)
DONE = GeneratedImages((Picture(64, 64, "png", b"png"),), 7)
PATIENCE_S = 30


def config(tmp_path, *, imagine=None):
    entry = ModelEntry(backend="diffusion", role="imagine", path="models/sdxl")
    media = ModelEntry(backend="media", role="media")
    use = RoleChoice(chat=None, detect=None, rank=None, read=None, imagine=imagine)
    models = ModelsConfig(use=use, models={"sdxl": entry, "media": media})
    return Config(root=tmp_path, models=models)


@pytest.fixture
async def other(tmp_path):
    """A queue whose only consumer is a machine that has sdxl."""
    inference = ScriptedInference(Placed("", "cuda:0", simulated=False))
    async with open_jobs(
        JobsConfig(), tmp_path, inference=inference, models=lambda: {"sdxl": 1}, node="pc2"
    ) as jobs:
        yield inference, jobs


def service(tmp_path, jobs, **roles):
    here = ScriptedInference()
    parts = Parts(here, jobs=jobs, elsewhere=lambda role: "sdxl" if role == "imagine" else None)
    return PictureService(parts, config(tmp_path, **roles))


async def collect(events):
    async with asyncio.timeout(PATIENCE_S):
        return [event async for event in events]


async def test_a_picture_comes_from_another_machine_where_this_one_has_no_model(tmp_path, other):
    inference, jobs = other
    inference.on("sdxl", GenerateImages, [StepDone(1, 2), StepDone(2, 2), DONE])
    pictures = service(tmp_path, jobs)
    pictures.check(CASTLE)

    run = await pictures.decide(CASTLE)
    events = await collect(pictures.make(run))

    made = events[-1]
    assert isinstance(made, Made)
    assert [file.data for file in made.files] == [b"png"]
    assert made.placed.device == "cuda:0 of pc2"
    assert inference.requests(GenerateImages)[0].seed == 7


async def test_leaving_it_cancels_the_job_of_the_other_machine(tmp_path, other):
    inference, jobs = other
    inference.on("sdxl", GenerateImages, [StepDone(1, 2), Hold(asyncio.Event()), DONE])
    pictures = service(tmp_path, jobs)
    making = pictures.make(Run(CASTLE, elsewhere="sdxl"))
    async with asyncio.timeout(PATIENCE_S), aclosing(making):
        async for event in making:
            if isinstance(event, Placed):
                break
    [view] = await jobs.recent()
    async with asyncio.timeout(PATIENCE_S):
        async for _ in jobs.follow(view.job_id):
            pass
    assert (await jobs.view(view.job_id)).state is JobState.CANCELLED


async def test_why_the_other_machine_failed_is_told(tmp_path, other):
    inference, jobs = other
    inference.on("sdxl", GenerateImages, [DanzarError("the card of pc2 is gone")])
    pictures = service(tmp_path, jobs)
    with pytest.raises(DanzarError, match="the card of pc2 is gone"):
        await collect(pictures.make(Run(CASTLE, elsewhere="sdxl")))


async def test_a_model_whose_file_is_missing_here_is_asked_of_the_machine_that_has_it(tmp_path):
    pictures = service(tmp_path, object(), imagine="sdxl")
    assert (await pictures.decide(CASTLE)).elsewhere == "sdxl"
    (tmp_path / "models" / "sdxl").mkdir(parents=True)
    assert (await pictures.decide(CASTLE)).elsewhere is None


async def test_where_there_is_no_room_here_another_machine_makes_it(tmp_path):
    @dataclass
    class Plan:
        verdict = "impossible"
        request = CASTLE
        suggestions = ()
        text = "9 GiB are missing"

    async def preflight(model, request):
        return Plan()

    (tmp_path / "models" / "sdxl").mkdir(parents=True)
    found = config(tmp_path, imagine="sdxl")
    here = ScriptedInference()
    parts = Parts(here, jobs=object(), elsewhere=lambda _: "sdxl", preflight=preflight)
    run = await PictureService(parts, found).decide(CASTLE)
    assert (run.elsewhere, len(run.notes)) == ("sdxl", 1)

    alone = PictureService(Parts(ScriptedInference(), preflight=preflight), found)
    assert await alone.decide(CASTLE) == NoRoom("9 GiB are missing")


@pytest.mark.parametrize(
    ("request_", "allowed"),
    [
        (GenerateImages("a", width=64, height=64), True),
        (GenerateImages("a", width=72, height=64), False),
        (GenerateVideo("a", width=64, height=64, frames=9), True),
        (GenerateVideo("a", width=64, height=64, frames=13), False),
    ],
)
def test_waiting_is_of_no_use_where_the_model_is_set_up_for_less(request_, allowed):
    sizes = Sizes(Size(64, 64), 64 * 64, 9)
    assert sizes.allow(request_) is allowed
    assert Sizes(Size(64, 64)).allow(request_)
    change = OptimizationSuggestion("resolution", "1", "2", "why", "saves", "visible", 5)
    decision = decide(Changed(request_, (change,)), request_, is_within_model=allowed)
    assert isinstance(decision, Smaller)
    assert decision.for_now is allowed


@dataclass
class Changed:
    request: GenerateImages | GenerateVideo
    suggestions: tuple
    verdict: str = "changed"
    text: str = ""


def test_without_any_model_the_error_says_what_to_type(tmp_path):
    pictures = PictureService(Parts(ScriptedInference()), config(tmp_path))
    with pytest.raises(ModelMissing, match=r"files at `models/sdxl`, set `use\.imagine: sdxl`"):
        pictures.check(CASTLE)
    with pytest.raises(ModelMissing, match="role: video"):
        pictures.check(GenerateVideo("a dragon"))


@dataclass
class Known:
    name: str
    role: str = "imagine"
    fit: str = "free"
    degraded: bool = False
    card_bytes: int = 8


@pytest.mark.parametrize(
    ("models", "chosen"),
    [
        pytest.param([], None, id="nobody"),
        pytest.param([Known("a", "chat")], None, id="no model of that role"),
        pytest.param([Known("a", fit="never")], None, id="no room anywhere"),
        pytest.param([Known("a"), Known("b", fit="loaded")], "b", id="loaded first"),
        pytest.param([Known("a", degraded=True), Known("b", fit="evict")], "b", id="whole first"),
        pytest.param([Known("a"), Known("b", card_bytes=24)], "b", id="larger card first"),
    ],
)
def test_the_machine_that_serves_it_best_is_asked(models, chosen):
    assert model_elsewhere("imagine", [models]) == chosen
