"""What must hold for every model, whatever its shape."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.core.variant import Rung
from danzar.estimate.gguf import GgufSettings, split_footprint, split_over
from danzar.estimate.gguf_estimate import GgufEstimate
from danzar.estimate.gguf_layers import FeedForward, Layer
from danzar.estimate.gguf_model import GgufModel

MIB = 1024**2


@st.composite
def layer_lists(draw):
    heads = draw(st.integers(1, 16))
    width = draw(st.sampled_from([32, 64, 128, 256]))
    kinds = [
        Layer(
            weights_bytes=draw(st.integers(MIB, 64 * MIB)),
            rewritten_bytes=0,
            heads=heads,
            kv_heads=draw(st.integers(1, heads)),
            key_head_width=width,
            value_head_width=width,
            feed_forward=FeedForward(draw(st.integers(256, 8192))),
            is_windowed=windowed,
        )
        for windowed in draw(st.sampled_from([(False,), (True, False)]))
    ]
    return tuple(kinds * draw(st.integers(2, 8)))


@st.composite
def models(draw):
    layers = draw(layer_lists())
    table_bytes = draw(st.integers(MIB, 256 * MIB))
    shared = draw(st.booleans())
    return GgufModel(
        layers=layers,
        input_bytes=table_bytes,
        output_bytes=table_bytes,
        shared_bytes=table_bytes if shared else 0,
        rewritten_bytes=0,
        embedding_width=draw(st.integers(256, 4096)),
        vocabulary=draw(st.integers(64, 150_000)),
        window_tokens=512 if any(layer.is_windowed for layer in layers) else None,
    )


settings = st.builds(
    GgufSettings,
    context=st.integers(256, 65_536),
    batch=st.sampled_from([1, 64, 128, 512]),
    flash_attention=st.booleans(),
)


def takes_no_less(more, less):
    """Up to a fifth of the compute buffer, as in llama.cpp itself.

    It fills holes, which a larger graph may happen to fit better: with one layer of 384 numbers it
    allocates 3.58 MiB for 512 tokens of context, and 3.20 MiB for 768.
    """
    exact = ("weights_bytes", "kv_cache_bytes")
    crumb_bytes = max(64 * 1024, less.activations_bytes // 5)
    return all(getattr(more, part) >= getattr(less, part) for part in exact) and (
        more.activations_bytes >= less.activations_bytes - crumb_bytes
    )


@given(models(), settings, st.integers(1, 4))
def test_more_context_never_takes_less(model, settings, times):
    more = replace(settings, context=settings.context * times)
    assert takes_no_less(split_footprint(model, more).card, split_footprint(model, settings).card)


@given(models(), settings)
def test_a_larger_batch_never_takes_less(model, settings):
    sizes = [
        split_footprint(model, replace(settings, batch=batch)).card
        for batch in (1, 32, 128, 256, 512)
    ]
    assert all(takes_no_less(more, less) for less, more in pairwise(sizes))


@given(models(), settings)
def test_more_layers_on_the_card_never_take_less_there(model, settings):
    places = range(len(model.layers) + 2)
    splits = [split_footprint(model, replace(settings, gpu_layers=n)) for n in places]
    weights = [split.card.weights_bytes for split in splits]
    caches = [split.card.kv_cache_bytes for split in splits]
    assert weights == sorted(weights)
    assert caches == sorted(caches)


@given(models(), settings)
def test_both_sides_of_a_split_hold_the_whole_model(model, settings):
    whole = split_footprint(model, replace(settings, gpu_layers=-1))
    for count in range(1, len(model.layers) + 2):
        split = split_footprint(model, replace(settings, gpu_layers=count))
        for part in ("weights_bytes", "kv_cache_bytes"):
            both = getattr(split.card, part) + getattr(split.host, part)
            assert both == getattr(whole.card, part) + getattr(whole.host, part)


@given(models(), settings, st.data())
def test_several_cards_hold_together_what_one_would(model, settings, data):
    places = len(model.layers) + 1
    first = data.draw(st.integers(0, places))
    second = data.draw(st.integers(0, places - first))
    cards = split_over(model, settings, (first, second, places - first - second))
    whole = split_footprint(model, settings).card
    assert sum(card.weights_bytes for card in cards) == whole.weights_bytes
    assert sum(card.kv_cache_bytes for card in cards) == whole.kv_cache_bytes
    for card, count in zip(cards, (first, second, places - first - second), strict=True):
        assert (card.total_bytes > 0) == (count > 0)


@given(models(), settings)
def test_a_split_that_leaves_layers_over_is_an_error(model, settings):
    with pytest.raises(ValueError, match="layers together"):
        split_over(model, settings, (1, len(model.layers) + 1))


@given(models(), st.integers(2048, 65_536), st.sampled_from(["f16", "q8_0"]), st.booleans())
def test_each_variant_takes_less_than_the_one_before(model, context, kind, flash):
    named = {"n_ctx": context, "type_k": kind, "type_v": kind, "flash_attn": flash}
    variants = GgufEstimate(model, named).variants(2048)
    for higher, lower in pairwise(variants):
        assert lower.cuda_bytes < higher.cuda_bytes * 0.991
        assert dict(higher.settings).keys() <= dict(lower.settings).keys()
    assert variants[0].rung is Rung.FULL
    assert variants[0].settings == ()


@given(models(), st.integers(512, 32_768))
def test_layers_and_what_is_fixed_cover_any_number_of_layers_on_a_card(model, context):
    estimate = GgufEstimate(model, {"n_ctx": context})
    shape = estimate.shape()
    assert shape.layers == len(model.layers) + 1
    for count in range(1, shape.layers + 1):
        booked_bytes = count * shape.layer_bytes + shape.fixed_bytes
        assert booked_bytes >= estimate.split(count).card.total_bytes
