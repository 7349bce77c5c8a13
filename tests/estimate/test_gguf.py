import subprocess
import sys

import pytest

from danzar.core.footprint import Footprint
from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.gguf import (
    CUDA_CONTEXT_BYTES,
    GgufSettings,
    check_gguf,
    split_footprint,
)
from danzar.estimate.gguf_model import read_model

F16, F32 = 2, 4


def on_card(path, context, kind="f16"):
    """What the card needs that has the whole model."""
    settings = GgufSettings(context, key_type=kind, value_type=kind)
    return split_footprint(read_model(path), settings).card


def test_a_total_is_the_sum_of_its_parts():
    assert Footprint(1, 20, 300, 4000).total_bytes == 4321


def test_keys_and_values_are_counted_for_shared_heads_only(gguf_file):
    path = gguf_file(layers=2, width=64)  # 4 heads of 16, 2 of them with keys and values
    footprint = on_card(path, 512)
    assert footprint.kv_cache_bytes == 2 * 512 * (2 * 16) * 2 * F16


def test_a_context_is_rounded_up_as_llama_cpp_does(gguf_file):
    path = gguf_file()
    assert on_card(path, 300).kv_cache_bytes == on_card(path, 512).kv_cache_bytes


def test_a_quantised_cache_is_smaller_by_its_block_size(gguf_file):
    path = gguf_file()
    full = on_card(path, 1024).kv_cache_bytes
    assert on_card(path, 1024, "q8_0").kv_cache_bytes == full * 17 // 32


def test_heads_given_for_each_layer_are_counted_for_each(gguf_file):
    model = read_model(gguf_file(layers=3, kv_heads=[1, 0, 4]))
    flash = split_footprint(model, GgufSettings(512, flash_attention=True))
    assert flash.card.kv_cache_bytes == 512 * (5 * 16) * 2 * F16


def test_without_flash_attention_every_layer_keeps_values_as_wide_as_the_widest(gguf_file):
    path = gguf_file(layers=3, kv_heads=[1, 0, 4])
    keys, values = 5 * 16, 3 * 4 * 16
    assert on_card(path, 512).kv_cache_bytes == 512 * (keys + values) * F16


def test_keys_and_values_may_differ_in_precision(gguf_file):
    model = read_model(gguf_file(layers=1, kv_heads=2))
    mixed = split_footprint(model, GgufSettings(512, key_type="q8_0", value_type="f16"))
    assert mixed.card.kv_cache_bytes == 512 * (32 * 34 // 32 + 32 * F16)


def test_a_window_is_kept_in_full_unless_told_otherwise(gguf_file):
    fields = {"llama.attention.sliding_window": 300, "llama.attention.sliding_window_pattern": 2}
    model = read_model(gguf_file(layers=2, fields=fields))
    full = split_footprint(model, GgufSettings(8192, 128))
    short = split_footprint(model, GgufSettings(8192, 128, full_windows=False))
    a_token = 2 * (2 * 16) * F16
    assert full.card.kv_cache_bytes == 2 * 8192 * a_token
    assert short.card.kv_cache_bytes == (8192 + 512) * a_token


def test_a_recurrent_layer_keeps_one_state_instead_of_all_tokens(gguf_file):
    fields = {
        "llama.full_attention_interval": 2,
        "llama.ssm.state_size": 16,
        "llama.ssm.inner_size": 128,
        "llama.ssm.conv_kernel": 4,
        "llama.ssm.group_count": 1,
    }
    model = read_model(gguf_file(layers=2, fields=fields))
    attention, state = 512 * 2 * (2 * 16) * F16, (3 * (128 + 2 * 16) + 16 * 128) * F32
    assert split_footprint(model, GgufSettings(512)).card.kv_cache_bytes == attention + state


def test_layers_that_read_anothers_cache_have_none(gguf_file):
    path = gguf_file(layers=4, fields={"llama.attention.shared_kv_layers": 3})
    assert on_card(path, 512).kv_cache_bytes == 512 * 2 * (2 * 16) * F16


def test_layers_that_only_guess_ahead_are_left_out(gguf_file):
    all_layers = read_model(gguf_file("all.gguf", layers=3))
    without = read_model(gguf_file(layers=3, fields={"llama.nextn_predict_layers": 1}))
    assert without.layers == all_layers.layers[:2]


def test_a_list_of_heads_that_is_too_short_is_refused(gguf_file):
    with pytest.raises(ModelRefused, match="2 values for 3 layers"):
        check_gguf(gguf_file(layers=3, kv_heads=[1, 2]))


def test_with_all_layers_on_the_card_only_the_embedding_table_stays_in_host_ram(gguf_file):
    model = read_model(gguf_file(layers=2, width=64, vocabulary=320, tied=False))
    split = split_footprint(model, GgufSettings(context=512))
    table, layer, norm = 320 * 64 * F16, 256 * 64 * F32, 64 * F16
    assert split.host.weights_bytes == table
    assert split.card.weights_bytes == 2 * layer + norm + table
    assert split.host.kv_cache_bytes == 0
    assert split.card.cuda_context_bytes == CUDA_CONTEXT_BYTES


def test_a_shared_embedding_table_is_there_twice_only_when_the_output_is_on_the_card(gguf_file):
    model = read_model(gguf_file(layers=2, width=64, vocabulary=320, tied=True))
    table, layer, norm = 320 * 64 * F16, 256 * 64 * F32, 64 * F16
    on_card = split_footprint(model, GgufSettings(context=512))
    assert on_card.card.weights_bytes == 2 * layer + norm + table
    assert on_card.host.weights_bytes == table
    in_ram = split_footprint(model, GgufSettings(context=512, gpu_layers=0))
    assert in_ram.host.weights_bytes == 2 * layer + norm + table
    assert in_ram.card.total_bytes == 0


def test_the_output_goes_to_the_card_first_and_then_the_last_layers(gguf_file):
    model = read_model(gguf_file(layers=4, tied=False))
    one = split_footprint(model, GgufSettings(context=512, gpu_layers=1))
    three = split_footprint(model, GgufSettings(context=512, gpu_layers=3))
    assert one.card.kv_cache_bytes == 0
    assert three.card.kv_cache_bytes == three.host.kv_cache_bytes > 0
    assert three.card.weights_bytes - one.card.weights_bytes == 2 * model.layers[0].weights_bytes


def test_more_layers_never_need_less_on_the_card_or_more_in_ram(gguf_file):
    model = read_model(gguf_file(layers=6))
    splits = [split_footprint(model, GgufSettings(context=2048, gpu_layers=n)) for n in range(8)]
    cards = [s.card.total_bytes for s in splits]
    hosts = [s.host.weights_bytes + s.host.kv_cache_bytes for s in splits]
    assert cards == sorted(cards)
    assert hosts == sorted(hosts, reverse=True)


def test_host_ram_has_no_cuda_context(gguf_file):
    model = read_model(gguf_file())
    assert split_footprint(model, GgufSettings(512, gpu_layers=0)).host.cuda_context_bytes == 0


def test_flash_attention_needs_no_matrix_of_all_pairs(gguf_file):
    model = read_model(gguf_file(vocabulary=8))
    plain = split_footprint(model, GgufSettings(context=32_768))
    flash = split_footprint(model, GgufSettings(context=32_768, flash_attention=True))
    assert flash.card.activations_bytes < plain.card.activations_bytes / 4


@pytest.mark.parametrize(("context", "batch"), [(0, 512), (512, 0), (-1, 1)])
def test_a_senseless_setting_is_an_error(context, batch):
    with pytest.raises(ValueError, match="at least 1"):
        GgufSettings(context, batch)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"llama.attention.key_length": "wide"}, "key_length is 'wide'"),
        ({"llama.attention.key_length": 0}, "key_length is 0"),
        ({"llama.vocab_size": 0}, "vocab_size is 0"),
    ],
)
def test_a_model_that_contradicts_itself_is_refused(gguf_file, fields, message):
    with pytest.raises(ModelRefused, match=message):
        check_gguf(gguf_file(fields=fields))


def test_a_file_without_the_networks_size_is_refused_with_the_missing_key(gguf_file):
    path = gguf_file()
    path.write_bytes(
        path.read_bytes().replace(b"llama.embedding_length", b"llama.embedding_lengtX")
    )
    with pytest.raises(ModelRefused, match=r"it has no llama\.embedding_length"):
        check_gguf(path)


def test_a_million_layers_are_refused(gguf_file):
    path = gguf_file(layers=2)
    content = path.read_bytes()
    key = b"llama.block_count"
    at = content.index(key) + len(key) + 4
    path.write_bytes(content[:at] + b"\xff\xff\xff\x00" + content[at + 4 :])
    with pytest.raises(ModelRefused, match="16777215 layers"):
        check_gguf(path)


def test_a_split_model_counts_all_its_parts(gguf_file):
    whole = read_model(gguf_file("whole.gguf", layers=2))
    first = gguf_file("m-00001-of-00002.gguf", layers=2, fields={"split.count": 2})
    gguf_file("m-00002-of-00002.gguf", layers=2)
    both = read_model(first)
    assert both.input_bytes == 2 * whole.input_bytes


def test_a_missing_part_is_named(gguf_file):
    first = gguf_file("m-00001-of-00002.gguf", fields={"split.count": 2})
    with pytest.raises(ModelMissing, match=r"m-00002-of-00002\.gguf is missing"):
        check_gguf(first)


def test_a_later_part_is_refused_with_the_name_of_the_first(gguf_file):
    second = gguf_file("m-00002-of-00002.gguf", fields={"split.count": 2})
    with pytest.raises(ModelRefused, match="-00001-of-00002"):
        check_gguf(second)


def test_estimating_loads_neither_numpy_nor_the_gguf_package(smollm2):
    code = (
        "import sys; from danzar.estimate.variants import gguf_variants; "
        f"gguf_variants({str(smollm2)!r}, {{}}); "
        "sys.exit(bool({'numpy', 'gguf', 'torch', 'llama_cpp'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
