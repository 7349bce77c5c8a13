"""Memory and time follow the geometry, and stand beside what others measured."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.resources.estimate import estimate
from danzar.resources.request import Offload, Precision
from danzar.resources.subject import Learned
from danzar.units import GIB
from tests.resources.rig import PROFILES, request, subject

MODELS = tuple(PROFILES.models)
VIDEO = ("t2v-A14B", "i2v-A14B", "ti2v-5B")


def needs(model, card="RTX 4090", **params):
    return estimate(request(model, **params), subject(model, card))


def phase(found, name):
    return next(p for p in found.phases if p.name == name)


@pytest.mark.parametrize("model", MODELS)
def test_steps_change_the_time_alone(model):
    few, many = needs(model, steps=10), needs(model, steps=40)
    assert (few.vram_bytes, few.ram_bytes, few.disk_bytes) == (
        many.vram_bytes, many.ram_bytes, many.disk_bytes)  # fmt: skip
    assert few.estimated_time_seconds < many.estimated_time_seconds


@pytest.mark.parametrize("model", VIDEO)
def test_activations_grow_with_the_tokens_and_attention_time_with_their_square(model):
    short, long = needs(model, duration=2), needs(model, duration=4)
    grown = long.tokens / short.tokens
    held = [phase(n, "denoise").activations_bytes for n in (short, long)]
    assert held[1] / held[0] == pytest.approx(grown, rel=0.02)
    took = long.estimated_time_seconds / short.estimated_time_seconds
    assert grown < took < grown**2


def test_decoding_goes_frame_by_frame_so_that_length_hardly_counts():
    short, long = (phase(needs("t2v", duration=d), "decode").activations_bytes for d in (1, 5))
    assert long < 1.3 * short


class TestPublished:
    """Figures of others; each is named under ``sources`` of the profiles."""

    def test_one_a100_takes_the_makers_time(self):
        assert needs("t2v", card="A100", offload="model").estimated_time_seconds == pytest.approx(
            2735.7, rel=0.02
        )

    def test_ti2v_makes_five_seconds_in_about_nine_minutes_on_a_4090(self):
        found = needs("ti2v", offload="model", text_encoder_device="cpu")
        assert 450 < found.estimated_time_seconds < 600

    def test_ti2v_needs_about_the_24_gb_that_its_makers_name(self):
        found = needs("ti2v", offload="model", text_encoder_device="cpu")
        assert 0.85 * 24e9 < found.vram_bytes < 1.15 * 24e9

    def test_ti2v_in_half_precision_holds_about_20_gb_while_denoising(self):
        held = phase(needs("ti2v", resolution="832x480"), "denoise").weights_bytes
        assert held == pytest.approx(20.6e9 + 2.8e9, rel=0.05)  # and its VAE in float32

    def test_one_fp8_expert_peaks_no_lower_than_comfyui_shows(self):
        found = needs("t2v", offload="model", precision="fp8")
        assert 19.0e9 < phase(found, "denoise").total_bytes < 1.35 * 19.0e9

    def test_sdxl_takes_about_8_gb_with_tiles_and_sd15_no_more_than_4(self):
        assert needs("sdxl", vae_tiling=True).vram_bytes == pytest.approx(8 * GIB, rel=0.1)
        assert needs("sd-1.5").vram_bytes < 4 * GIB

    def test_sd15_makes_25_steps_in_about_5_s_on_a_3060(self):
        assert 2.5 < needs("sd-1.5", card="RTX 3060", steps=25).estimated_time_seconds < 6


def test_both_experts_count_until_one_of_them_waits_in_ram():
    whole, swapped = needs("t2v"), needs("t2v", offload="model")
    expert = 2 * PROFILES.models["t2v-A14B"].denoiser.parameters.value
    assert phase(whole, "denoise").weights_bytes - phase(swapped, "denoise").weights_bytes > expert
    assert swapped.ram_bytes > whole.ram_bytes + 2 * expert


def test_adapters_take_memory_in_proportion_to_their_rank():
    none, one, two = (needs("sdxl", lora=n) for n in (0, 1, 2))
    assert two.vram_bytes - one.vram_bytes == one.vram_bytes - none.vram_bytes > 0
    wide = needs("sdxl", lora=1, lora_rank=64)
    assert wide.vram_bytes == two.vram_bytes


def test_on_the_cpu_everything_is_ram_and_nothing_is_vram():
    found = estimate(
        request("sd-1.5"), replace(subject("sd-1.5", None), on_card=False, cpu_threads=8)
    )
    assert (found.vram_bytes, found.device, found.cpu_threads) == (0, "cpu", 8)
    assert found.ram_bytes > 2 * PROFILES.models["sd-1.5"].denoiser.parameters.value
    assert found.estimated_time_seconds is None


def test_without_a_speed_the_time_is_unknown_and_not_zero():
    found = estimate(request("sdxl"), subject("sdxl", None))
    assert found.estimated_time_seconds is None
    assert "unknown" in found.time_source


def test_what_was_measured_corrects_the_estimate_and_says_so():
    plain = subject("sdxl")
    taught = replace(plain, learned=Learned(runs=4, vram_factor=1.25, time_factor=0.5))
    before, after = estimate(request("sdxl"), plain), estimate(request("sdxl"), taught)
    assert after.vram_bytes == pytest.approx(1.25 * before.vram_bytes, rel=1e-6)
    assert after.estimated_time_seconds == pytest.approx(0.5 * before.estimated_time_seconds)
    assert "4 measured runs" in after.vram_source
    assert "4 measured runs" in after.time_source


@pytest.mark.parametrize("model", MODELS)
def test_every_assumption_behind_an_estimate_is_told(model):
    told = " ".join(needs(model).assumptions)
    assert "CUDA context" in told
    assert "allocator" in told
    assumed = PROFILES.sources[PROFILES.models[model].efficiency.source].kind == "assumption"
    assert ("peak speed" in told) == assumed


def test_the_seeds_figures_are_mib_rounded_up():
    found = needs("t2v", resolution="720p", steps=50, duration=4)
    assert found.vram_mb == -(-found.vram_bytes // 2**20)
    assert found.vram_bytes == found.worst.total_bytes


params = st.fixed_dictionaries(
    {
        "steps": st.integers(1, 80),
        "lora": st.integers(0, 3),
        "batch": st.integers(1, 4),
        "precision": st.sampled_from([p.value for p in Precision]),
        "offload": st.sampled_from([o.value for o in Offload]),
        "vae_tiling": st.booleans(),
        "text_encoder_device": st.sampled_from(["gpu", "cpu"]),
    }
)


@given(st.sampled_from(MODELS), params, st.integers(1, 12), st.integers(1, 12))
def test_more_pixels_never_need_less(model, given_params, columns, rows):
    small = needs(model, resolution=f"{64 * columns}x{64 * rows}", **given_params)
    wide = needs(model, resolution=f"{64 * (columns + 1)}x{64 * rows}", **given_params)
    tall = needs(model, resolution=f"{64 * columns}x{64 * (rows + 1)}", **given_params)
    for more in (wide, tall):
        assert more.ram_bytes >= small.ram_bytes
        assert more.disk_bytes >= small.disk_bytes
        if not given_params["vae_tiling"]:
            assert more.vram_bytes >= small.vram_bytes


@given(st.sampled_from(VIDEO), params, st.floats(0.5, 20), st.floats(0.5, 20))
def test_a_longer_clip_never_needs_less(model, given_params, one_s, other_s):
    short, long = sorted((one_s, other_s))
    less, more = (needs(model, duration=d, **given_params) for d in (short, long))
    assert more.vram_bytes >= less.vram_bytes
    assert more.ram_bytes >= less.ram_bytes
    assert more.estimated_time_seconds >= less.estimated_time_seconds


@given(st.sampled_from(MODELS), params)
def test_keeping_more_off_the_card_never_needs_more_of_it(model, given_params):
    rest = {k: v for k, v in given_params.items() if k != "offload"}
    held = [needs(model, offload=o, **rest).vram_bytes for o in ("none", "model", "layers")]
    assert held == sorted(held, reverse=True)
