"""The estimate beside what llama.cpp itself allocates.

For a real model, and for models of zeros in other shapes, which llama.cpp loads just as well. This
build of llama.cpp computes on the CPU, so a part of the layers on a card can't be compared; what
can: that the parts of any split add up to the whole (``test_splits``), and that models of 1, 2 and
more layers take what the formula says.
"""

from dataclasses import replace
from statistics import median

import pytest

from danzar.core.variant import Rung, Variant
from danzar.estimate.correct import Measurement, correct, settings_key
from danzar.estimate.gguf import GgufSettings, split_footprint
from danzar.estimate.gguf_model import read_model
from danzar.estimate.gguf_settings import from_backend
from danzar.estimate.projector import read_projector
from tests.estimate.shapes import (
    GGML_TYPES,
    MIB,
    SHAPES,
    Encoder,
    Shape,
    buffers_of_llama_cpp,
    encoder_buffer_of_llama_cpp,
    write_projector,
    write_zeros,
)

pytestmark = pytest.mark.model

SETTINGS = [
    GgufSettings(300),
    GgufSettings(2048),
    GgufSettings(8192),
    GgufSettings(8192, batch=128),
    GgufSettings(8192, full_windows=False),
    GgufSettings(8192, flash_attention=True),
    GgufSettings(4096, 512, "f32", "f32"),
    GgufSettings(4096, 512, "f32", "f32", flash_attention=True),
    GgufSettings(4096, 512, "q8_0", "q8_0", flash_attention=True),
    GgufSettings(4096, 512, "q4_0", "q4_0", flash_attention=True),
    GgufSettings(4096, 512, "q8_0", "f16"),
    GgufSettings(2048, sequences=4),
    GgufSettings(2048, flash_attention=True, sequences=4),
    GgufSettings(2048, 128, "q8_0", "q8_0", flash_attention=True, sequences=3),
    GgufSettings(2048, 512, "f32", "f32", flash_attention=True, sequences=2),
]


def compared(path):
    """For each of ``SETTINGS``, our footprint and llama.cpp's buffers."""
    model = read_model(path)
    # llama.cpp itself refuses two types of cache where keys serve as values.
    mixable = model.layers[0].latent is None
    settings = [s for s in SETTINGS if mixable or s.key_type == s.value_type]
    ours = [split_footprint(model, replace(s, gpu_layers=0)).host for s in settings]
    return list(zip(settings, ours, buffers_of_llama_cpp(path, settings), strict=True))


def errors_pct(ours, theirs):
    """How far each part and the total are off, percent."""
    return {
        "weights": 100 * (ours.weights_bytes / theirs.weights_bytes - 1),
        "kv": 100 * (ours.kv_cache_bytes / theirs.kv_cache_bytes - 1),
        "compute": 100 * (ours.activations_bytes / theirs.compute_bytes - 1),
        "total": 100 * (ours.total_bytes / theirs.total_bytes - 1),
    }


def written_pct(size_bytes):
    """llama.cpp writes two digits of MiB: of a small buffer that is up to 2 %."""
    return 100 * 0.01 * MIB / size_bytes


def assert_close(path):
    for settings, ours, theirs in compared(path):
        errors = errors_pct(ours, theirs)
        told = f"{settings}: {errors}"
        assert abs(errors["total"]) < 0.5, told
        assert abs(errors["compute"]) < 0.5, told
        assert abs(errors["weights"]) < 0.1 + written_pct(theirs.weights_bytes), told
        assert abs(errors["kv"]) < 0.1 + written_pct(theirs.kv_cache_bytes), told


@pytest.mark.parametrize("slots", [1, 3, 4])
@pytest.mark.parametrize(
    "settings",
    [
        {"n_ctx": 2048},
        {"n_ctx": 0, "n_batch": 128, "type_k": "q8_0", "type_v": "q8_0", "flash_attn": True},
        {"n_ctx": 300, "n_batch": 2048},
    ],
)
def test_the_backend_opens_what_is_estimated(settings, slots):
    from danzar.backends.llama_native import context_params
    from danzar.backends.llama_settings import LlamaSettings

    opened = context_params(LlamaSettings(**settings), 8192, slots)
    estimated = from_backend({**settings, "slots": slots}, 8192)
    assert opened.n_ubatch == estimated.batch
    assert opened.n_ctx == estimated.context * slots
    assert (opened.n_seq_max, opened.n_outputs_max) == (estimated.sequences,) * 2
    assert (opened.type_k, opened.type_v) == tuple(
        GGML_TYPES[kind] for kind in (estimated.key_type, estimated.value_type)
    )
    assert bool(opened.flash_attn_type) == estimated.flash_attention
    assert opened.swa_full == estimated.full_windows
    assert not opened.kv_unified


def test_smollm2_is_estimated_within_half_a_percent(smollm2):
    assert_close(smollm2)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_estimated_within_half_a_percent(tmp_path, name):
    assert_close(write_zeros(tmp_path / "zeros.gguf", SHAPES[name]))


@pytest.mark.parametrize("layers", [1, 2, 5, 9])
def test_each_further_layer_costs_what_the_formula_says(tmp_path, layers):
    path = write_zeros(tmp_path / "zeros.gguf", Shape(layers=layers, width=256, forward=512))
    assert_close(path)


def test_after_three_loads_the_median_error_is_below_three_percent(tmp_path):
    """As a card would show it: buffers, and a fixed part and a share that nothing foretells."""
    past, errors = {}, []
    loads_of = {2048: 2, 4096: 1, 16_384: 0}
    for name, shape in SHAPES.items():
        path = write_zeros(tmp_path / "zeros.gguf", shape)
        model = read_model(path)
        buffers = buffers_of_llama_cpp(path, [GgufSettings(context) for context in loads_of])
        for (context, loads), theirs in zip(loads_of.items(), buffers, strict=True):
            settings = {"n_ctx": context}
            ours = split_footprint(model, GgufSettings(context, gpu_layers=0)).host
            really = round(theirs.total_bytes * 1.04) + 30 * MIB
            seen = Measurement(settings_key(settings), ours.total_bytes, really, 0.0)
            past.setdefault(name, []).extend([seen] * loads)
            if not loads:
                variant = Variant(Rung.FULL, cuda_bytes=0, host_bytes=ours.total_bytes)
                corrected = correct(
                    [variant],
                    past[name],
                    settings=settings,
                    weights_bytes=ours.weights_bytes,
                    on_cpu=True,
                )
                errors.append(abs(corrected.variants[0].host_bytes / really - 1))
    assert len(errors) >= 10
    assert median(errors) < 0.03, errors


@pytest.mark.parametrize(
    "encoder",
    [
        Encoder(),
        Encoder(side=448, width=320, forward=960, heads=5),
        Encoder(side=224, width=512, forward=2048, heads=8),
        Encoder(side=672, width=192, forward=768, heads=3),
    ],
)
def test_a_projector_is_never_underestimated_and_at_most_a_fifth_over(tmp_path, encoder):
    model = write_zeros(tmp_path / "model.gguf", Shape())
    projector = write_projector(tmp_path / "mmproj.gguf", encoder)
    theirs = encoder_buffer_of_llama_cpp(model, projector)
    assert 0.995 < read_projector(projector).compute_bytes / theirs < 1.2
