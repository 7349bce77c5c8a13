"""The diffusion backend in this process, with untrained pipelines in diffusers' own formats."""

import io
import os
import threading
from itertools import count

import av
import msgspec
import numpy as np
import pytest
import torch
from PIL import Image

from danzar.backends import diffusion
from danzar.backends.batch_work import LiveBytes
from danzar.backends.diffusion_decode import decode_picture
from danzar.backends.diffusion_memory import Shelf, networks
from danzar.errors import BadInput, Cancelled, ModelMissing, ModelRefused, OutOfMemory
from danzar.estimate.diffusion import open_diffusion
from danzar.workers.contract import (
    ChatMessage,
    Generate,
    GeneratedImages,
    GeneratedVideo,
    GenerateImages,
    GenerateVideo,
    LoadSpec,
    StepDone,
)

pytestmark = [
    pytest.mark.model,
    # Of diffusers' schedulers with this numpy.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
HOUSE = GenerateImages("a house by a lake", "people", width=64, height=64, seed=3, steps=2)
RIVER = GenerateVideo("a river", width=64, height=64, frames=9, fps=8, seed=3, steps=2)
SMALL = {"width": 64, "height": 64, "steps": 2, "max_frames": 9, "threads": 1}


def load(folder, **settings):
    spec = LoadSpec("drawer", "diffusion", str(folder), settings={**SMALL, **settings})
    return diffusion.load(spec)


@pytest.fixture(scope="module", autouse=True)
def threads_as_they_were():
    """The backend sets them for its process, which is this one here."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def sd(tiny_pipelines):
    return load(tiny_pipelines.sd)[0]


@pytest.fixture(scope="module")
def turbo(tiny_pipelines):
    return load(tiny_pipelines.turbo)[0]


@pytest.fixture(scope="module")
def wan(tiny_pipelines):
    return load(tiny_pipelines.wan)[0]


def here(shelf):
    """The networks that are on the card."""
    return [name for name, waiting in shelf._waiting.items() if waiting.is_here]


def run(backend, request, is_cancelled=bool):
    *steps, result = backend.run(request, is_cancelled)
    assert all(isinstance(step, StepDone) for step in steps)
    return steps, result


def pixels(picture):
    assert picture.encoding == "png"
    image = Image.open(io.BytesIO(picture.data))
    assert image.size == (picture.width, picture.height)
    return np.asarray(image)


def change(request, **changes):
    return msgspec.structs.replace(request, **changes)


def cancel_after(questions):
    """Says no so many times, then yes."""
    asked = count()
    return lambda: next(asked) >= questions


class TestPictures:
    def test_a_picture_has_the_size_that_was_asked_and_every_step_is_told(self, turbo):
        steps, result = run(turbo, change(HOUSE, width=64, height=56))
        assert [(step.step, step.steps) for step in steps] == [(1, 2), (2, 2)]
        assert isinstance(result, GeneratedImages)
        assert pixels(result.pictures[0]).shape == (56, 64, 3)
        assert (result.seed, result.finish_reason) == (3, "stop")

    def test_the_same_seed_gives_the_same_picture_and_another_one_another(self, sd):
        first, again, other = (
            run(sd, change(HOUSE, seed=seed))[1].pictures[0].data for seed in (3, 3, 4)
        )
        assert first == again
        assert first != other

    def test_each_of_several_has_the_seed_that_it_would_have_alone(self, turbo):
        steps, both = run(turbo, change(HOUSE, count=2))
        _, second = run(turbo, change(HOUSE, seed=4))
        assert both.pictures[1].data == second.pictures[0].data
        assert [(step.step, step.steps) for step in steps] == [(i, 4) for i in range(1, 5)]

    def test_without_a_seed_one_is_taken_by_chance_and_told(self, turbo):
        _, result = run(turbo, change(HOUSE, seed=None))
        _, again = run(turbo, change(HOUSE, seed=result.seed))
        assert again.pictures[0].data == result.pictures[0].data

    def test_the_negative_prompt_and_the_guidance_count(self, sd):
        usual = run(sd, HOUSE)[1].pictures[0].data
        assert run(sd, change(HOUSE, negative_prompt="trees"))[1].pictures[0].data != usual
        assert run(sd, change(HOUSE, guidance=1.5))[1].pictures[0].data != usual

    def test_a_preview_comes_with_every_so_many_steps(self, turbo):
        steps, _ = run(turbo, change(HOUSE, steps=4, preview_every=2))
        shown = [step.preview for step in steps]
        assert [preview is not None for preview in shown] == [False, True, False, True]
        assert (shown[1].encoding, shown[1].width, shown[1].height) == ("jpeg", 256, 256)
        assert Image.open(io.BytesIO(shown[3].data)).size == (256, 256)

    def test_another_scheduler_is_taken_by_its_name(self, tiny_pipelines, sd):
        other, _ = load(tiny_pipelines.sd, scheduler="DDIMScheduler")
        steps, result = run(other, HOUSE)
        assert [step.step for step in steps] == [1, 2]
        assert result.pictures[0].data != run(sd, HOUSE)[1].pictures[0].data


class TestStopping:
    def test_it_ends_in_the_middle_of_a_step(self, sd):
        asked = count()
        steps, result = run(sd, change(HOUSE, steps=50), lambda: next(asked) >= 20)
        assert (result.finish_reason, result.pictures) == ("cancelled", ())
        assert len(steps) < 3
        assert next(asked) < 25, "it went on asking, and so computing"

    def test_pictures_that_were_done_are_handed_over(self, turbo):
        whole = count()
        run(turbo, change(HOUSE, steps=1), lambda: next(whole) < 0)
        _, result = run(turbo, change(HOUSE, steps=1, count=3), cancel_after(next(whole) + 3))
        assert (result.finish_reason, len(result.pictures)) == ("cancelled", 1)

    def test_closing_the_answer_ends_the_thread(self, sd):
        items = sd.run(change(HOUSE, steps=50), bool)
        assert isinstance(next(items), StepDone)
        items.close()
        assert "diffusion" not in {thread.name for thread in threading.enumerate()}

    def test_the_next_request_is_whole(self, sd):
        run(sd, HOUSE, cancel_after(5))
        assert run(sd, HOUSE)[1].finish_reason == "stop"


class TestBadInput:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"width": 65}, "width is 65; it must be a multiple of 8, for example 64"),
            ({"height": 0}, "height is 0; it must be a multiple of 8"),
            ({"width": 512, "height": 512}, "this model has room for 4096, for example 64 x 64"),
            ({"steps": 0}, "steps is 0; allowed: 1 to 150"),
            ({"count": 9}, "count is 9; allowed: 1 to 8"),
            ({"seed": -1}, "seed is -1; allowed: 0 to"),
        ],
    )
    def test_it_is_told_with_the_value_and_what_is_allowed(self, sd, changes, words):
        with pytest.raises(BadInput, match=words):
            run(sd, change(HOUSE, **changes))

    def test_guidance_for_which_no_room_is_booked(self, turbo):
        with pytest.raises(BadInput, match="guidance is 7; drawer works without"):
            run(turbo, change(HOUSE, guidance=7.0))

    def test_a_pipeline_makes_only_what_it_is_for(self, sd, wan):
        for backend, request in (
            (sd, RIVER),
            (wan, HOUSE),
            (sd, Generate((ChatMessage("user", "x"),))),
        ):
            with pytest.raises(BadInput, match="drawer makes a"):
                run(backend, request)


class TestVideos:
    def test_a_video_is_an_mp4_with_its_frames(self, wan):
        steps, result = run(wan, RIVER)
        assert [(step.step, step.steps) for step in steps] == [(1, 2), (2, 2)]
        assert isinstance(result, GeneratedVideo)
        with av.open(io.BytesIO(result.data)) as file:
            stream = file.streams.video[0]
            assert (stream.codec_context.name, stream.average_rate) == ("h264", 8)
            frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(stream)]
        assert len(frames) == result.frames == 9
        assert frames[0].shape == (64, 64, 3)

    def test_a_cancelled_one_is_empty(self, wan):
        _, result = run(wan, change(RIVER, steps=50), cancel_after(12))
        assert (result.finish_reason, result.data) == ("cancelled", b"")

    def test_a_number_of_frames_that_it_can_not_make_is_refused_with_the_nearest(self, wan):
        with pytest.raises(BadInput, match=r"frames is 8; .* for example 9"):
            run(wan, change(RIVER, frames=8))

    def test_too_many_frames_are_refused(self, wan):
        with pytest.raises(BadInput, match="frames is 81; this model has room for 1 to 9"):
            run(wan, change(RIVER, frames=81))


class TestLoading:
    def test_the_report_says_what_was_loaded(self, tiny_pipelines):
        backend, report = load(tiny_pipelines.turbo)
        assert report.details["pipeline"] == "sdxl-turbo"
        assert report.details["precision"] == "float32"
        assert report.weights_bytes > 7_000_000
        backend.close()

    def test_nothing_there(self, tmp_path):
        with pytest.raises(ModelRefused, match=r"folder without model_index\.json"):
            load(tmp_path)
        with pytest.raises(ModelMissing, match="there is no"):
            load(tmp_path / "absent", pipeline="sd")

    def test_a_pickle_is_not_opened(self, tiny_pipelines, tmp_path, copy_of):
        folder = copy_of(tiny_pipelines.sd)
        weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
        weights.unlink()
        bomb = tmp_path / "it-ran"
        (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(
            f"cos\nsystem\n(S'touch {bomb}'\ntR.".encode()
        )
        with pytest.raises(ModelRefused, match="diffusers can't load"):
            load(folder)
        assert not bomb.exists()

    def test_a_damaged_file_is_refused_with_its_name(self, tiny_pipelines, copy_of):
        folder = copy_of(tiny_pipelines.sd)
        (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"\x08" + b"\0" * 40)
        with pytest.raises(ModelRefused, match=r"can't load .*sd"):
            load(folder)

    def test_a_scheduler_that_does_not_fit_names_those_that_do(self, tiny_pipelines):
        with pytest.raises(ModelRefused, match=r"takes .*DDIMScheduler"):
            load(tiny_pipelines.sd, scheduler="NoSuch")

    def test_an_unknown_setting_is_refused(self, tiny_pipelines):
        with pytest.raises(ModelRefused, match="stepz"):
            load(tiny_pipelines.sd, stepz=3)

    def test_a_single_file_needs_a_folder_that_describes_it(self, tmp_path):
        file = tmp_path / "weights.safetensors"
        file.write_bytes(b"\2\0\0\0\0\0\0\0{}")
        with pytest.raises(ModelRefused, match=r"Set settings\.config to a folder"):
            load(file, pipeline="sd")

    def test_the_network_is_never_asked(self):
        assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"


class TestMemory:
    @pytest.mark.parametrize("kind", ["sd", "turbo"])
    @pytest.mark.parametrize(
        "settings",
        [{"vae_slicing": True}, {"attention_slicing": True}, {"precision": "fp8"}],
        ids=lambda each: next(iter(each)),
    )
    def test_less_memory_still_makes_a_picture(self, tiny_pipelines, kind, settings):
        backend, _ = load(getattr(tiny_pipelines, kind), **settings)
        assert run(backend, HOUSE)[1].finish_reason == "stop"

    def test_tiles_give_a_picture_of_the_same_size(self, tiny_pipelines):
        backend, _ = load(tiny_pipelines.sd, vae_tiling=True, max_pixels=576 * 528)
        _, result = run(backend, change(HOUSE, width=576, height=528, steps=1))
        assert pixels(result.pictures[0]).shape == (528, 576, 3)

    @pytest.mark.parametrize("by_block", [False, True], ids=["by network", "by block"])
    def test_one_network_at_a_time_makes_the_same_picture(self, tiny_pipelines, sd, by_block):
        """On the CPU nothing really moves; what would be on the card is looked at."""
        backend, _ = load(tiny_pipelines.sd)
        shelf = backend._shelf = Shelf(backend._pipeline, torch.device("cpu"), by_block=by_block)
        seen = []
        shelf.bring("unet")
        for network in networks(backend._pipeline).values():
            network.register_forward_pre_hook(lambda *_: seen.append(here(shelf)))
        assert run(backend, HOUSE)[1].pictures == run(sd, HOUSE)[1].pictures
        assert ["text_encoder"] in seen
        assert ["unet"] in seen
        assert {len(names) for names in seen} == {1}
        assert here(shelf) == []

    @pytest.mark.parametrize("kind", ["sd", "turbo"])
    def test_what_is_booked_covers_what_a_picture_takes(self, tiny_pipelines, kind):
        folder, side = getattr(tiny_pipelines, kind), 512
        settings = {"width": side, "height": side, "max_pixels": side**2, "precision": "fp32"}
        pipeline = load(folder, **settings)[0]._pipeline
        with torch.no_grad(), LiveBytes() as live:
            latents = pipeline(
                "a house",
                width=side,
                height=side,
                num_inference_steps=1,
                output_type="latent",
                return_dict=False,
            )[0]
            decode_picture(pipeline, latents)
        booked = open_diffusion(folder, settings).footprint(on_card=False).activations_bytes
        assert live.peak_bytes < booked < 2 * live.peak_bytes

    def test_a_full_device_is_out_of_memory(self, sd, monkeypatch):
        def full(*_, **__):
            raise RuntimeError("CUDA error: out of memory")

        monkeypatch.setattr(sd._pipeline.unet, "forward", full)
        with pytest.raises(OutOfMemory, match="drawer: CUDA error"):
            run(sd, HOUSE)


def test_stopping_is_no_error_that_crosses_the_boundary(sd):
    assert not issubclass(diffusion.Stopped, Cancelled)
