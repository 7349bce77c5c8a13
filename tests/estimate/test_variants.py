import itertools

import pytest

from danzar.core.variant import Rung
from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.gguf import GgufSettings, split_footprint
from danzar.estimate.gguf_ladder import contexts
from danzar.estimate.gguf_model import read_model
from danzar.estimate.projector import read_projector
from danzar.estimate.variants import estimate_file, gguf_variants, torch_variants
from tests.estimate.shapes import MIB, SHAPES, Encoder, Shape, write_projector, write_zeros


def rungs(variants):
    return [variant.rung for variant in variants]


def test_smollm2_goes_down_by_batch_then_cache_then_context(smollm2):
    variants = gguf_variants(smollm2, {"n_ctx": 8192})
    assert rungs(variants) == [Rung.FULL, Rung.BATCH, Rung.KV, Rung.CONTEXT, Rung.CONTEXT]
    assert dict(variants[2].settings) == {
        "n_batch": 128,
        "type_k": "q8_0",
        "type_v": "q8_0",
        "flash_attn": True,
    }
    assert [dict(v.settings).get("n_ctx") for v in variants] == [None, None, None, 4096, 2048]


def test_fewer_people_at_once_come_before_less_quality(smollm2):
    variants = gguf_variants(smollm2, {"n_ctx": 4096, "slots": 4})
    assert rungs(variants)[:5] == [Rung.FULL, Rung.BATCH, Rung.SLOTS, Rung.SLOTS, Rung.KV]
    assert [dict(v.settings).get("slots") for v in variants[:4]] == [None, None, 2, 1]
    assert variants[2].loss.endswith("answering 2 instead of 4 people at once")
    assert all(dict(v.settings)["slots"] == 1 for v in variants[3:])


def test_each_conversation_has_a_cache_of_its_own(smollm2):
    one, four = (gguf_variants(smollm2, {"n_ctx": 2048, "slots": n})[0] for n in (1, 4))
    layers, key_and_value_bytes = 30, 2 * 192 * 2
    expected = 3 * 2048 * layers * key_and_value_bytes
    assert four.cuda_bytes - one.cuda_bytes == pytest.approx(expected, rel=0.001)
    assert rungs(gguf_variants(smollm2, {"n_ctx": 2048, "slots": 1})).count(Rung.SLOTS) == 0


def test_host_ram_for_waiting_conversations_is_booked_wherever_the_model_is(smollm2):
    without = gguf_variants(smollm2, {"n_ctx": 2048})
    with_cache = gguf_variants(smollm2, {"n_ctx": 2048, "prompt_cache": "256 MiB"})
    one = 2048 * 30 * 2 * 192 * 2  # what changes places is there twice for a moment
    before, after = without[0], with_cache[0]
    assert after.host_bytes - before.host_bytes == 256 * MIB + one
    for before, after in zip(without, with_cache, strict=True):
        assert 256 * MIB < after.beside_bytes - before.beside_bytes <= 256 * MIB + one
        assert after.cuda_bytes == before.cuda_bytes


def test_what_is_lost_is_told_for_all_rungs_so_far(smollm2):
    variants = gguf_variants(smollm2, {"n_ctx": 8192})
    assert variants[0].loss == ""
    assert "128 instead of 512 tokens at once" in variants[-1].loss
    assert "8 bits" in variants[-1].loss
    assert variants[-1].loss.endswith("with 2048 instead of 8192 tokens of context")
    assert "4096" not in variants[-1].loss


def test_the_backend_takes_every_variants_settings(smollm2):
    import msgspec

    from danzar.backends.llama import LlamaSettings

    for variant in gguf_variants(smollm2, {"n_ctx": 8192, "n_batch": 256, "slots": 2}):
        settings = {"n_ctx": 8192, **dict(variant.settings)}
        settings.pop("slots", None)  # of the worker, see ``danzar.models.manifest``
        msgspec.convert(settings, LlamaSettings)


def test_the_full_variant_is_what_the_estimate_says(smollm2):
    full = gguf_variants(smollm2, {"n_ctx": 4096})[0]
    split = split_footprint(read_model(smollm2), GgufSettings(4096))
    in_ram = split_footprint(read_model(smollm2), GgufSettings(4096, gpu_layers=0))
    assert full.cuda_bytes == split.card.total_bytes - split.card.cuda_context_bytes
    assert full.beside_bytes == split.host.total_bytes
    assert full.host_bytes == in_ram.host.total_bytes


def test_a_batch_above_what_llama_cpp_computes_at_once_costs_nothing_more(smollm2):
    """llama-cpp-python leaves n_ubatch at 512."""
    usual, large = (gguf_variants(smollm2, {"n_batch": n})[0] for n in (512, 2048))
    assert usual == large


def test_a_context_of_zero_is_what_the_model_was_trained_for(smollm2):
    assert (
        gguf_variants(smollm2, {"n_ctx": 0})[0].cuda_bytes
        == gguf_variants(smollm2, {"n_ctx": 8192})[0].cuda_bytes
    )


def test_a_quantised_cache_is_not_quantised_again(smollm2):
    quantised = {"n_ctx": 8192, "type_k": "q8_0", "type_v": "q8_0", "flash_attn": True}
    assert Rung.KV not in rungs(gguf_variants(smollm2, quantised))


@pytest.mark.parametrize(
    "shape", [SHAPES["latent attention (deepseek2)"], Shape(head_width=48), Shape(head_width=160)]
)
def test_heads_that_cards_cant_quantise_keep_their_precision(tmp_path, shape):
    variants = gguf_variants(write_zeros(tmp_path / "m.gguf", shape), {"n_ctx": 16_384})
    assert Rung.KV not in rungs(variants)
    assert Rung.CONTEXT in rungs(variants)


def test_a_rung_that_saves_next_to_nothing_is_left_out(tmp_path):
    shape = Shape(width=1024, heads=1, kv_heads=1, forward=2048, layers=8)
    variants = gguf_variants(write_zeros(tmp_path / "m.gguf", shape), {"n_ctx": 256})
    for higher, lower in itertools.pairwise(variants):
        assert lower.cuda_bytes <= higher.cuda_bytes * 0.99


@pytest.mark.parametrize(
    ("full", "least", "expected"),
    [
        (8192, 2048, [4096, 2048]),
        (8000, 2048, [4096, 2048]),
        (3000, 2048, [2048]),
        (2048, 2048, []),
        (512, 2048, []),
        (1000, 1, [512, 256, 1]),
    ],
)
def test_contexts_are_halved_down_to_the_least(full, least, expected):
    assert contexts(full, least) == expected


def test_a_layer_is_a_block_and_what_the_output_takes_beyond_one_is_fixed(tmp_path):
    path = write_zeros(tmp_path / "m.gguf", SHAPES["large vocabulary"])
    model = read_model(path)
    shape = gguf_variants(path, {"n_ctx": 2048})[0].layers
    assert shape.layers == len(model.layers) + 1
    assert shape.layer_bytes < model.output_bytes < shape.fixed_bytes


def test_a_projector_comes_on_top_where_the_model_is(tmp_path):
    model = write_zeros(tmp_path / "m.gguf", Shape())
    projector = read_projector(write_projector(tmp_path / "mmproj.gguf", Encoder()))
    blind = estimate_file(model, {"n_ctx": 2048}, "llama")
    seeing = estimate_file(model, {"n_ctx": 2048, "mmproj": "mmproj.gguf"}, "llama")
    assert projector.weights_bytes > 0
    for side in ("card", "host"):
        more = getattr(seeing, side).total_bytes - getattr(blind, side).total_bytes
        assert more == projector.weights_bytes + projector.compute_bytes
    assert seeing.variants[0].beside_bytes == blind.variants[0].beside_bytes


def test_a_model_named_as_projector_is_refused(tmp_path):
    model = write_zeros(tmp_path / "m.gguf", Shape())
    with pytest.raises(ModelRefused, match="no projector: its architecture is 'llama'"):
        gguf_variants(model, {"mmproj": "m.gguf"})


def test_a_missing_projector_is_named(tmp_path):
    model = write_zeros(tmp_path / "m.gguf", Shape())
    with pytest.raises(ModelMissing, match=r"no-mmproj\.gguf"):
        gguf_variants(model, {"mmproj": "no-mmproj.gguf"})


def test_a_projector_is_no_language_model(tmp_path):
    projector = write_projector(tmp_path / "mmproj.gguf", Encoder())
    with pytest.raises(ModelRefused, match="block_count"):
        gguf_variants(projector, {})


def test_a_detector_goes_down_by_pictures_at_once(tmp_path):
    (tmp_path / "m.onnx").write_bytes(bytes(1000))
    variants = torch_variants(tmp_path / "m.onnx", {"max_batch": 6, "imgsz": 320}, "yolo")
    assert [dict(v.settings).get("max_batch") for v in variants] == [None, 4, 2, 1]
    sizes = [v.cuda_bytes for v in variants]
    assert sizes == sorted(sizes, reverse=True)
    assert variants[-1].loss == "looking at 1 instead of 6 pictures at once"


@pytest.mark.parametrize("backend", ["ocr", "media", "echo"])
def test_backends_without_batches_have_one_variant(backend):
    assert rungs(torch_variants(None, {}, backend)) == [Rung.FULL]


def test_the_text_reader_counts_one_picture_of_its_size():
    small, large = (torch_variants(None, {"max_side": px}, "ocr")[0] for px in (480, 960))
    assert large.cuda_bytes == 4 * small.cuda_bytes > 0
