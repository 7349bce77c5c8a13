"""Parameters as people write them; every mistake is named, none is guessed away."""

import pytest

from danzar.errors import BadInput
from danzar.resources.geometry import geometry
from danzar.resources.profiles import find_profile
from danzar.resources.request import Attention, Offload, Precision
from tests.resources.rig import PROFILES, SEED_PARAMS, request


def test_the_seeds_parameters_are_read():
    found = request("t2v-A14B", resolution="720p", steps=50, duration=4)
    assert (found.size, found.steps, found.duration_s, found.fps) == ("1280x720", 50, 4.0, 16)


@pytest.mark.parametrize(
    ("model", "given", "size"),
    [
        ("ti2v-5B", "720p", "1280x704"),
        ("t2v-A14B", "480p", "832x480"),
        ("t2v-A14B", "1080p", "1920x1072"),
        ("t2v-A14B", "720*1280", "720x1280"),
        ("sdxl", 768, "768x768"),
        ("sdxl", "1024", "1024x1024"),
        ("sd-1.5", None, "512x512"),
    ],
)
def test_a_resolution_is_the_models_own_of_that_name(model, given, size):
    params = {} if given is None else {"resolution": given}
    assert request(model, **params).size == size


def test_what_is_left_out_is_the_models_default():
    found = request("ti2v-5B")
    assert (found.steps, found.duration_s) == (50, 121 / 24)
    assert geometry(found, PROFILES.models["ti2v-5B"]).frames == 121


@pytest.mark.parametrize(
    ("seconds", "frames"), [(4, 65), (5.0625, 81), (0.01, 1), (1, 17), (5, 81)]
)
def test_frames_are_one_more_than_a_multiple_of_four(seconds, frames):
    found = request("t2v", resolution="480p", duration=seconds)
    assert geometry(found, PROFILES.models["t2v-A14B"]).frames == frames


def test_tokens_are_those_of_the_published_geometry():
    # 21 x 90 x 160 latents in patches of 1 x 2 x 2.
    found = request("t2v", resolution="720p", duration=81 / 16)
    assert geometry(found, PROFILES.models["t2v-A14B"]).tokens == 21 * 45 * 80


def test_words_of_other_libraries_are_understood():
    found = request("sdxl", precision="bf16", offload="sequential", attention="xformers")
    assert found.precision is Precision.HALF
    assert found.offload is Offload.LAYERS
    assert found.attention is Attention.FUSED


@pytest.mark.parametrize(
    ("given", "count"), [(True, 1), (False, 0), (3, 3), (["a", "b"], 2), ("style.safetensors", 1)]
)
def test_adapters_are_counted_however_they_are_given(given, count):
    assert request("sdxl", lora=given).loras == count


def test_what_changes_nothing_goes_through():
    request("sdxl", prompt="a cat", seed=7, negative_prompt="", image="x.png")


@pytest.mark.parametrize(
    ("model", "params", "told"),
    [
        pytest.param(
            "t2v",
            {"resoluton": "720p"},
            "unknown parameter 'resoluton'; did you mean resolution",
            id="misspelt",
        ),
        pytest.param(
            "t2v",
            {"resolution": "big"},
            "'big' is no resolution",
            id="no resolution",
        ),
        pytest.param(
            "t2v",
            {"resolution": "1281x720"},
            "width is 1281; .* multiple of 16, for example 1280",
            id="off the grid",
        ),
        pytest.param(
            "t2v",
            {"resolution": True},
            "resolution must be text",
            id="a flag",
        ),
        pytest.param(
            "t2v",
            {"resolution": "0x0"},
            "width is 0; allowed",
            id="nothing",
        ),
        pytest.param(
            "t2v",
            {"resolution": "99999x99999"},
            "allowed",
            id="too large",
        ),
        pytest.param(
            "t2v",
            {"steps": 0},
            "steps is 0; allowed: 1 to 1000",
            id="no steps",
        ),
        pytest.param(
            "t2v",
            {"steps": 2.5},
            "steps must be a whole number",
            id="half a step",
        ),
        pytest.param(
            "t2v",
            {"steps": True},
            "steps must be a whole number",
            id="steps as a flag",
        ),
        pytest.param(
            "t2v",
            {"duration": -1},
            "duration is -1; allowed",
            id="negative time",
        ),
        pytest.param(
            "t2v",
            {"duration": float("nan")},
            "duration must be a number",
            id="not a number",
        ),
        pytest.param(
            "t2v",
            {"duration": 1e9},
            "at most 600 s",
            id="too long",
        ),
        pytest.param(
            "sdxl",
            {"duration": 4},
            "makes pictures: it takes no duration",
            id="a long picture",
        ),
        pytest.param(
            "sdxl",
            {"precision": "int3"},
            "precision is 'int3'; allowed: fp32, half, fp8",
            id="precision",
        ),
        pytest.param(
            "sdxl",
            {"lora": -1},
            "lora must be",
            id="negative adapters",
        ),
        pytest.param(
            "sdxl",
            {"vae_tiling": "yes"},
            "must be true or false",
            id="a word for a flag",
        ),
        pytest.param(
            "sdxl",
            {"text_encoder_device": "tpu"},
            "allowed: gpu, cpu",
            id="device",
        ),
        pytest.param(
            "sdxl",
            {"resolution": "1024", "width": 512},
            "not both",
            id="two sizes",
        ),
    ],
)
def test_a_mistake_is_told_and_nothing_is_guessed(model, params, told):
    with pytest.raises(BadInput, match=told):
        request(model, **params)


def test_the_seeds_example_is_a_request():
    assert find_profile(PROFILES, SEED_PARAMS["model_type"])[0] == "t2v-A14B"
    assert (
        request(
            **{"model": "t2v", **{k: v for k, v in SEED_PARAMS.items() if k != "model_type"}}
        ).size
        == "1920x1072"
    )
