from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.core.variant import LayerShape, Rung, Variant
from danzar.estimate.correct import Measurement, correct, settings_key
from danzar.units import GIB, MIB

WEIGHTS = 4 * GIB
FULL = Variant(Rung.FULL, cuda_bytes=6 * GIB, host_bytes=7 * GIB, layers=LayerShape(33, MIB, GIB))
SHORT = Variant(Rung.CONTEXT, 5 * GIB, 6 * GIB, (("n_ctx", 2048),))
SETTINGS = {"n_ctx": 8192, "n_threads": 4}


def seen(measured_bytes, variant=FULL, *, estimated_bytes=None):
    key = settings_key(SETTINGS, variant.settings)
    return Measurement(key, estimated_bytes or variant.cuda_bytes, measured_bytes, 0.0)


def corrected(past, variants=(FULL, SHORT), *, on_cpu=False):
    return correct(variants, past, settings=SETTINGS, weights_bytes=WEIGHTS, on_cpu=on_cpu)


def test_without_measurements_nothing_changes():
    result = corrected([])
    assert result.variants == (FULL, SHORT)
    assert result.source == "estimated"


def test_what_was_measured_with_these_settings_counts():
    result = corrected([seen(6_500 * MIB)])
    assert result.variants[0].cuda_bytes == 6_500 * MIB
    assert result.source == "measured once"


def test_one_load_that_went_wrong_does_not_count_among_three():
    result = corrected([seen(6_500 * MIB), seen(11 * GIB), seen(6_510 * MIB)])
    assert result.variants[0].cuda_bytes == 6_510 * MIB
    assert result.source == "measured 3 times"


def test_a_load_with_other_settings_helps_too():
    result = corrected([seen(SHORT.cuda_bytes + 300 * MIB, SHORT)])
    assert result.variants[0].cuda_bytes >= FULL.cuda_bytes + 300 * MIB
    assert result.variants[1].cuda_bytes == SHORT.cuda_bytes + 300 * MIB
    assert result.source == "estimated, corrected by 1 load"


def test_two_sizes_tell_a_fixed_amount_from_a_share():
    """Really 1.1 times the variable part and 200 MiB: it follows from two contexts for a third."""

    def really(variant):
        return round(WEIGHTS + 1.1 * (variant.cuda_bytes - WEIGHTS) + 200 * MIB)

    tiny = Variant(Rung.CONTEXT, 4_500 * MIB, 5 * GIB, (("n_ctx", 512),))
    past = [seen(really(SHORT), SHORT), seen(really(tiny), tiny), seen(really(tiny), tiny)]
    result = corrected(past)
    assert result.variants[0].cuda_bytes == pytest.approx(really(FULL), rel=0.001)


def test_the_cards_fixed_share_grows_with_the_correction():
    result = corrected([seen(6 * GIB + 100 * MIB)])
    assert result.variants[0].layers == LayerShape(33, MIB, GIB + 100 * MIB)


def test_in_host_ram_the_hosts_bytes_are_corrected():
    key = settings_key(SETTINGS)
    result = corrected([Measurement(key, FULL.host_bytes, 8 * GIB, 0.0)], on_cpu=True)
    assert result.variants[0].host_bytes == 8 * GIB
    assert result.variants[0].cuda_bytes == FULL.cuda_bytes


def test_a_part_on_the_card_says_nothing_about_the_whole():
    part = Measurement(settings_key(SETTINGS, gpu_layers=7), 2 * GIB, 3 * GIB, 0.0)
    assert corrected([part]).variants == (FULL, SHORT)


def test_settings_that_need_no_memory_make_no_difference():
    assert settings_key({"n_ctx": 1, "n_threads": 2}) == settings_key({"n_threads": 9, "n_ctx": 1})
    assert settings_key({"n_ctx": 1}) != settings_key({"n_ctx": 2})
    assert settings_key({"n_ctx": 1}, (("n_ctx", 2),)) == settings_key({"n_ctx": 2})


sizes = st.integers(1, 64 * GIB)


@st.composite
def ladders(draw):
    weights = draw(st.integers(0, 8 * GIB))
    drops = draw(st.lists(st.integers(MIB, GIB), min_size=1, max_size=5))
    size, variants = weights + sum(drops) + draw(st.integers(MIB, GIB)), []
    for number, drop in enumerate(drops):
        variants.append(Variant(Rung.CONTEXT, size, size, (("n_ctx", 100 - number),)))
        size -= drop
    return weights, tuple(variants)


@given(ladders(), st.data())
def test_no_correction_leaves_its_bounds(ladder, data):
    weights_bytes, variants = ladder
    loaded = data.draw(st.lists(st.tuples(st.sampled_from(variants), sizes), max_size=12))
    past = [Measurement(settings_key({}, v.settings), v.cuda_bytes, m, 0.0) for v, m in loaded]
    result = correct(variants, past, settings={}, weights_bytes=weights_bytes, on_cpu=False)
    for before, after in zip(variants, result.variants, strict=True):
        assert weights_bytes <= after.cuda_bytes
        assert before.cuda_bytes / 2 <= after.cuda_bytes + 1
    least = result.variants[-1].cuda_bytes
    assert least <= max(2 * variants[-1].cuda_bytes, variants[-1].cuda_bytes + 256 * MIB)
    for higher, lower in pairwise(result.variants):
        assert higher.cuda_bytes > lower.cuda_bytes


@given(
    st.floats(0.8, 1.5),
    st.integers(0, 400),
    st.lists(st.floats(-0.005, 0.005), min_size=3, max_size=3),
)
def test_three_loads_of_two_sizes_bring_a_third_within_three_percent(share, fixed_mib, noise):
    def really(variant, off):
        variable_bytes = variant.cuda_bytes - WEIGHTS
        return round(WEIGHTS + share * variable_bytes * (1 + off) + fixed_mib * MIB)

    tiny = Variant(Rung.CONTEXT, 4_500 * MIB, 5 * GIB, (("n_ctx", 512),))
    loads = zip((SHORT, tiny, tiny), noise, strict=True)
    result = corrected([seen(really(variant, off), variant) for variant, off in loads])
    assert abs(result.variants[0].cuda_bytes / really(FULL, 0) - 1) < 0.03
