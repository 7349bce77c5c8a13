"""May it be made, and how if not as asked: the one question before a picture or a video."""

from pathlib import Path

import msgspec
import pytest
import yaml

from danzar.config.load import load_config
from danzar.errors import BadInput, ModelMissing
from danzar.inference import Outcome, Placed
from danzar.resources.generations import (
    fitted,
    generation_limits,
    preflight_images,
    preflight_video,
    record_generation,
)
from danzar.resources.machine import DescribedMachine, described_card
from danzar.resources.manager import Parts, ResourceManager
from danzar.resources.runs import RUNS_FILE, Runs
from danzar.units import GIB
from danzar.workers.contract import GeneratedImages, GenerateImages, GenerateVideo
from tests.diffusion.shapes import SD15, SDXL, WAN, make_shape

SQUARE = GenerateImages("a house", width=1024, height=1024)
CLIP = GenerateVideo("a river", width=832, height=480, frames=81)
CARD = "NVIDIA GeForce RTX 4060"


@pytest.fixture
def config(tmp_path):
    """Three published pipelines by their headers, and one of a kind that nobody knows."""
    shapes = {"sd": SD15, "sdxl": SDXL, "wan": WAN, "odd": SDXL}
    models = {"media": {"backend": "media", "role": "media"}}
    for name, shape in shapes.items():
        make_shape(tmp_path / "models" / name, shape)
        role = "video" if name == "wan" else "imagine"
        models[name] = {"backend": "diffusion", "role": role, "path": f"models/{name}"}
    models["odd"]["settings"] = {"profile": "nobody-knows"}
    use = {"chat": None, "detect": None, "rank": None, "read": None, "media": "media"}
    folder = tmp_path / "config"
    folder.mkdir()
    text = yaml.safe_dump({"use": use, "models": models})
    (folder / "models.yaml").write_text(text, encoding="utf-8")
    return load_config(folder, {})


def resources(card_gib: float, runs=None, ram_gib: float = 32) -> ResourceManager:
    card = described_card(CARD, round(card_gib * GIB), 0)
    machine = DescribedMachine(card, round(ram_gib * GIB))
    return ResourceManager(Parts(machine, Path.cwd(), runs=runs))


class TestPictures:
    async def test_what_fits_stays_as_it_was_asked(self, config):
        plan = await preflight_images(resources(24), config, "sdxl", SQUARE)
        assert (plan.verdict, plan.request, plan.suggestions) == ("ready", SQUARE, ())
        assert plan.may_run
        assert "fits on cuda:0" in plan.text

    async def test_what_the_planner_does_by_itself_is_no_change_of_the_request(self, config):
        plan = await preflight_images(resources(7.5), config, "sdxl", SQUARE)
        assert (plan.verdict, plan.request) == ("ready", SQUARE)

    async def test_more_pixels_than_the_model_has_room_for_become_fewer_of_the_same_shape(
        self, config
    ):
        asked = msgspec.structs.replace(SQUARE, width=2048, height=1024)
        plan = await preflight_images(resources(24), config, "sdxl", asked)
        assert plan.verdict == "changed"
        assert (plan.request.width, plan.request.height) == (1448, 720)
        [change] = plan.suggestions
        assert (change.parameter, change.suggested_value) == ("resolution", "1448x720")
        assert "settings.max_pixels" in change.reason

    async def test_a_card_that_is_much_too_small_is_told_what_is_missing(self, config):
        plan = await preflight_images(resources(0.4), config, "sdxl", SQUARE)
        assert (plan.verdict, plan.may_run, plan.request) == ("impossible", False, SQUARE)
        assert "does not fit" in plan.text

    async def test_a_model_of_which_nothing_is_known_is_tried(self, config):
        plan = await preflight_images(resources(0.4), config, "odd", SQUARE)
        assert (plan.verdict, plan.may_run) == ("unknown", True)

    @pytest.mark.parametrize("side", [1, 60, 1025])
    async def test_a_size_that_it_can_not_make_is_refused_with_the_nearest(self, config, side):
        asked = msgspec.structs.replace(SQUARE, width=side)
        with pytest.raises(BadInput, match="must be a multiple of 8, for example"):
            await preflight_images(resources(24), config, "sdxl", asked)

    async def test_a_model_that_makes_no_pictures(self, config):
        with pytest.raises(ModelMissing, match="media makes no pictures"):
            await preflight_images(resources(24), config, "media", SQUARE)


class TestVideos:
    async def test_what_fits_stays_as_it_was_asked(self, config):
        plan = await preflight_video(resources(24), config, "wan", CLIP)
        assert (plan.verdict, plan.request) == ("ready", CLIP)
        assert plan.expected_s > 60

    async def test_where_room_is_short_the_clip_gets_shorter_or_smaller(self, config):
        plan = await preflight_video(resources(3.2), config, "wan", CLIP)
        assert plan.verdict == "changed"
        frames, pixels = plan.request.frames, plan.request.width * plan.request.height
        assert frames * pixels < CLIP.frames * CLIP.width * CLIP.height
        assert frames % 4 == 1
        assert {change.parameter for change in plan.suggestions} <= {"duration", "resolution"}

    async def test_more_frames_than_are_booked_become_as_many(self, config):
        asked = msgspec.structs.replace(CLIP, frames=161)
        plan = await preflight_video(resources(24), config, "wan", asked)
        assert plan.request.frames == 81
        assert plan.suggestions[0].parameter == "frames"


class TestLearning:
    async def test_the_next_estimate_knows_how_long_the_last_one_took(self, config, tmp_path):
        async with Runs.open(tmp_path / RUNS_FILE) as runs:
            manager = resources(24, runs)
            plan = await preflight_images(manager, config, "sdxl", SQUARE)
            placed = Placed("sdxl", "cuda:0", simulated=False)
            outcome = Outcome(GeneratedImages((), 1), placed, 2 * plan.expected_s, 0.0)
            await record_generation(manager, plan, outcome, CARD)
            again = await preflight_images(manager, config, "sdxl", SQUARE)
            assert again.expected_s == pytest.approx(2 * plan.expected_s, rel=0.01)

    async def test_a_simulated_card_teaches_nothing(self, config, tmp_path):
        async with Runs.open(tmp_path / RUNS_FILE) as runs:
            manager = resources(24, runs)
            plan = await preflight_images(manager, config, "sdxl", SQUARE)
            placed = Placed("sdxl", "cuda:0", simulated=True)
            outcome = Outcome(GeneratedImages((), 1), placed, 900.0, 0.0)
            await record_generation(manager, plan, outcome, CARD)
            again = await preflight_images(manager, config, "sdxl", SQUARE)
            assert again.expected_s == plan.expected_s


def placed(**settings):
    return Placed("m", "cuda:0", simulated=False, settings=tuple(settings.items()))


@pytest.mark.parametrize(
    ("asked", "booked", "size"),
    [
        (SQUARE, {}, (1024, 1024)),
        (SQUARE, {"vae_tiling": True}, (1024, 1024)),
        (SQUARE, {"max_pixels": 512 * 512}, (512, 512)),
        (CLIP, {"max_pixels": 832 * 480 // 2, "max_frames": 41}, (576, 336)),
    ],
    ids=["as configured", "only slower", "smaller", "a video"],
)
def test_a_request_becomes_no_larger_than_what_its_placement_has_booked(asked, booked, size):
    made = fitted(asked)(placed(**booked))
    assert (made.width, made.height) == size
    if isinstance(made, GenerateVideo):
        assert made.frames == booked["max_frames"]


def test_what_a_model_makes_where_nothing_is_asked(config):
    limits = generation_limits(config, "sdxl")
    assert (limits.width, limits.height, limits.steps) == (1024, 1024, 30)
