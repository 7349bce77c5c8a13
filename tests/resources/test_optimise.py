"""The least change that fits: minimal, monotone, deterministic, and none where none is needed."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from danzar.resources.estimate import estimate
from danzar.resources.ladder import ways
from danzar.resources.optimise import AlreadyFits, Impossible, Optimised, optimise
from tests.resources.rig import PROFILES, SEED_PARAMS, budget, request, subject

MODELS = tuple(PROFILES.models)
SEED = {k: v for k, v in SEED_PARAMS.items() if k != "model_type"}


def loss(outcome):
    """Points of quality that an outcome costs; what is impossible costs more than anything."""
    match outcome:
        case AlreadyFits():
            return 0
        case Optimised(taken=taken):
            return sum(way.loss for way in taken)
    return float("inf")


def changes(outcome):
    return {s.parameter: s.suggested_value for s in outcome.suggestions}


def test_what_fits_is_not_touched():
    asked = request("sdxl")
    found = optimise(asked, subject("sdxl"), budget(11))
    assert isinstance(found, AlreadyFits)
    assert found.request is asked


def test_the_seeds_example_fits_a_24_gb_card_with_three_changes_least_loss_first():
    found = optimise(request("t2v", **SEED), subject("t2v"), budget(24, 64))
    assert changes(found) == {"offload": "layers", "precision": "fp8", "resolution": "1280x720"}
    assert [s.rank for s in found.suggestions] == sorted(s.rank for s in found.suggestions)
    assert [s.quality_impact for s in found.suggestions] == ["none", "hardly visible", "slight"]


def test_nothing_lossy_is_done_where_lossless_changes_are_enough():
    found = optimise(request("sdxl", batch=4), subject("sdxl"), budget(7, 16))
    assert changes(found) == {"vae_tiling": True, "offload": "model"}
    assert loss(found) == 0


def test_steps_are_left_alone_where_only_memory_is_short():
    for vram in (4, 6, 9, 12, 20):
        found = optimise(request("t2v", **SEED), subject("t2v"), budget(vram))
        assert found.request.steps == 60


def test_a_time_limit_is_met_with_fewer_steps():
    found = optimise(request("sdxl"), subject("sdxl"), budget(24, time_s=6))
    assert found.request.steps < 50
    assert found.needs.estimated_time_seconds <= 6


def test_an_adapter_is_given_up_last():
    asked = request("sdxl", lora=8, lora_rank=128)
    found = [optimise(asked, subject("sdxl"), budget(v, 64)) for v in (12, 10, 8, 6, 5)]
    assert all(o.request.loras == 8 for o in found[:3])
    dropped = [o for o in found if o.request.loras == 0]
    assert all(o.suggestions[-1].parameter == "lora" for o in dropped)


def test_too_little_ram_is_met_with_smaller_weights_and_not_with_a_smaller_picture():
    found = optimise(request("t2v", resolution="720p"), subject("t2v"), budget(40, 50))
    assert changes(found) == {"offload": "model", "precision": "fp8"}
    assert "the host's RAM" in found.suggestions[1].reason


def test_what_can_not_fit_says_what_is_missing_and_by_how_much():
    found = optimise(request("t2v", **SEED), subject("t2v"), budget(12, 32))
    assert isinstance(found, Impossible)
    assert set(found.shortfalls) == {"ram"}
    assert found.shortfalls["ram"] == found.needs.ram_bytes - 32 * 2**30


def test_a_full_disk_is_told():
    found = optimise(request("sdxl"), subject("sdxl"), budget(24, disk_gib=0))
    assert isinstance(found, Impossible)
    assert set(found.shortfalls) == {"disk"}


def test_each_suggestion_tells_what_it_changes_why_and_what_it_saves():
    found = optimise(request("t2v", **SEED), subject("t2v"), budget(24, 64))
    offload, precision, size = found.suggestions
    assert offload.reason.startswith(
        "without it 58.9 GiB are needed, and cuda:0 has room for 24.0 GiB"
    )
    assert "less VRAM" in offload.effect
    assert offload.vram_saved_mb > 60_000
    assert "RAM has room for 64.0 GiB" in precision.reason
    assert size.current_value == "1920x1072"
    assert "was not trained for more" in size.reason


def test_the_sum_of_what_changes_save_is_what_all_of_them_save():
    asked, model = request("t2v", **SEED), subject("t2v")
    found = optimise(asked, model, budget(24, 64))
    saved = sum(s.saved.get("vram", 0) for s in found.suggestions)
    assert saved == estimate(asked, model).vram_bytes - found.needs.vram_bytes


def test_a_smaller_size_is_one_that_the_model_knows_and_of_the_same_shape():
    found = optimise(request("t2v", resolution="720x1280"), subject("t2v"), budget(8, 128))
    if found.request.size != "720x1280":
        assert found.request.size == "480x832"


@pytest.mark.parametrize("model", MODELS)
def test_every_way_costs_quality_or_time_and_changes_something(model):
    asked = request(model, lora=1, batch=2, precision="fp32", attention="plain")
    for axis in ways(asked, PROFILES.models[model], on_card=True, timed=True):
        for way in axis:
            assert way.order > 0
            assert way.applied(asked) != asked
            assert way.before != way.after


asked_params = st.fixed_dictionaries(
    {
        "lora": st.integers(0, 2),
        "batch": st.integers(1, 2),
        "precision": st.sampled_from(["fp32", "half"]),
        "vae_tiling": st.booleans(),
    }
)
cases = st.tuples(st.sampled_from(MODELS), asked_params, st.integers(0, 3))


def build(case):
    model, given_params, seconds = case
    video = PROFILES.models[model].frames is not None and seconds
    return request(model, **given_params, **({"duration": 2 * seconds} if video else {})), subject(
        model
    )


@given(cases, st.floats(0.5, 60), st.floats(4, 120))
@settings(max_examples=60)
def test_the_answer_fits_or_nothing_does(case, vram, ram):
    asked, model = build(case)
    there = budget(vram, ram)
    found = optimise(asked, model, there)
    if isinstance(found, Impossible):
        assert found.shortfalls
        assert found.shortfalls == there.shortfalls(found.needs)
    else:
        assert not there.shortfalls(estimate(found.request, model))


@given(cases, st.floats(0.5, 60), st.floats(4, 120))
@settings(max_examples=60)
def test_no_change_could_be_left_out(case, vram, ram):
    asked, model = build(case)
    there = budget(vram, ram)
    found = optimise(asked, model, there)
    for way in getattr(found, "taken", ()):
        rest = asked
        for other in found.taken:
            rest = rest if other is way else other.applied(rest)
        assert there.shortfalls(estimate(rest, model)), way


@given(cases, st.floats(0.5, 60), st.floats(4, 120), st.floats(0, 10), st.floats(0, 40))
@settings(max_examples=60)
def test_more_room_never_costs_more_quality(case, vram, ram, more_vram, more_ram):
    asked, model = build(case)
    tight = optimise(asked, model, budget(vram, ram))
    roomy = optimise(asked, model, budget(vram + more_vram, ram + more_ram))
    assert loss(roomy) <= loss(tight)


@given(cases, st.floats(0.5, 60), st.floats(4, 120))
@settings(max_examples=40)
def test_the_same_question_has_the_same_answer_and_asking_again_changes_nothing(case, vram, ram):
    asked, model = build(case)
    there = budget(vram, ram)
    found = optimise(asked, model, there)
    assert optimise(asked, model, there) == found
    if not isinstance(found, Impossible):
        again = optimise(found.request, model, there)
        assert isinstance(again, AlreadyFits)
        assert again.request == found.request


def test_the_search_stays_small_however_much_is_asked():
    asked = replace(
        request("t2v", **SEED, lora=1, precision="fp32", attention="plain"),
        batch=64,
        duration_s=600.0,
    )
    sets = 1
    for axis in ways(asked, PROFILES.models["t2v-A14B"], on_card=True, timed=False):
        sets *= len(axis) + 1
    assert sets < 40_000
