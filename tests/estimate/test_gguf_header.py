import struct
import tracemalloc
from contextlib import suppress

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.gguf import check_gguf
from danzar.estimate.gguf_header import BLOCKS, read_header

FROM_FIXTURES = [HealthCheck.function_scoped_fixture]


def test_the_header_says_what_the_gguf_package_reads(gguf_file):
    from gguf import GGUFReader

    path = gguf_file(fields={"llama.rope.dimension_sections": [1, 2, 3], "general.name": "é" * 9})
    ours, theirs = read_header(path), GGUFReader(path)
    assert [(t.name, t.size_bytes) for t in ours.tensors] == [
        (t.name, t.n_bytes) for t in theirs.tensors
    ]
    assert [ours.data_start_bytes + t.offset_bytes for t in ours.tensors] == [
        t.data_offset for t in theirs.tensors
    ]
    assert ours.metadata["llama.rope.dimension_sections"] == (1, 2, 3)
    assert ours.metadata["general.name"] == "é" * 9
    assert ours.lengths["tokenizer.ggml.tokens"] == 320


def test_the_real_models_header_adds_up_to_its_file(smollm2):
    header = read_header(smollm2)
    assert len(header.tensors) == 272
    assert header.needed_bytes == header.file_bytes == smollm2.stat().st_size
    assert header.metadata["llama.attention.head_count_kv"] == 3
    assert header.lengths["tokenizer.ggml.merges"] == 48900


def test_block_sizes_are_those_of_the_gguf_package():
    from gguf.constants import GGML_QUANT_SIZES

    assert {int(kind): size for kind, size in GGML_QUANT_SIZES.items()} == BLOCKS


def test_reading_keeps_the_vocabulary_out_of_memory(smollm2):
    tracemalloc.start()
    read_header(smollm2)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 4 * 1024**2


def test_an_absent_file_is_missing(tmp_path):
    with pytest.raises(ModelMissing, match=r"none\.gguf"):
        read_header(tmp_path / "none.gguf")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "no GGUF file", id="empty"),
        pytest.param(b"GG", "no GGUF file", id="shorter than the magic"),
        pytest.param(b"\x89PNG\r\n\x1a\n" * 9, "no GGUF file", id="a picture"),
        pytest.param(b"GGUF" + struct.pack("<I", 1) + bytes(99), "version is 1", id="old"),
        pytest.param(b"GGUF" + struct.pack(">I", 3) + bytes(99), "version is", id="big-endian"),
        pytest.param(b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1), "claims", id="many tensors"),
        pytest.param(b"GGUF" + struct.pack("<IQQ", 3, 1, 1 << 60), "claims", id="many fields"),
        pytest.param(b"GGUF" + struct.pack("<IQQ", 3, 0, 0), "no weights", id="no tensors"),
    ],
)
def test_what_is_no_model_is_refused_with_the_reason(tmp_path, content, message):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match=message):
        check_gguf(path)


def test_a_list_that_claims_more_than_the_file_is_refused_at_once(tmp_path):
    field = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 1 << 62)
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field + bytes(1000))
    with pytest.raises(ModelRefused, match="cut"):
        read_header(path)


def test_a_long_text_at_the_end_that_is_cut_is_refused(tmp_path):
    text = b"x" * 10_000
    field = struct.pack("<Q", 1) + b"k" + struct.pack("<IQ", 8, len(text)) + text
    content = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    assert read_header(path).tensors == ()
    path.write_bytes(content[:-1])
    with pytest.raises(ModelRefused, match="ends in the middle"):
        read_header(path)


def test_a_file_of_zeros_behind_a_list_ends_at_the_longest_header_allowed(tmp_path):
    field = struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 1 << 62)
    path = tmp_path / "x.gguf"
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + field)
        file.truncate(1 << 40)  # sparse
    with pytest.raises(ModelRefused, match="longer than"):
        read_header(path)


@settings(max_examples=150, suppress_health_check=FROM_FIXTURES)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_small_file_cut_anywhere_is_refused(gguf_file, share):
    path = gguf_file()
    whole = path.read_bytes()
    # The last tensor's padding may go: the data is whole without it.
    needed = read_header(path).needed_bytes
    path.write_bytes(whole[: int(share * needed)])
    with pytest.raises(ModelRefused):
        check_gguf(path)


@settings(max_examples=40, suppress_health_check=FROM_FIXTURES)
@given(size=st.integers(0, 1_785_663))
def test_the_real_header_cut_anywhere_is_refused(tmp_path, smollm2_header, size):
    path = tmp_path / "cut.gguf"
    path.write_bytes(smollm2_header[:size])
    with pytest.raises(ModelRefused):
        check_gguf(path)


def test_a_real_model_cut_in_half_is_refused_with_both_sizes(tmp_path, smollm2):
    path = tmp_path / "half.gguf"
    path.write_bytes(smollm2.read_bytes()[: smollm2.stat().st_size // 2])
    with pytest.raises(ModelRefused, match=r"cut: 46\.9 MiB of 93\.8 MiB"):
        check_gguf(path)


@settings(max_examples=300, suppress_health_check=FROM_FIXTURES)
@given(data=st.data())
def test_flipped_bytes_never_raise_anything_but_a_refusal(gguf_file, data):
    path = gguf_file(vocabulary=8)
    content = bytearray(path.read_bytes())
    end = read_header(path).data_start_bytes
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, end - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    with suppress(ModelRefused):  # a changed name or number may well be a model still
        check_gguf(path)


@settings(max_examples=200, suppress_health_check=FROM_FIXTURES)
@given(tail=st.binary(max_size=400), counts=st.tuples(st.integers(0, 9), st.integers(0, 9)))
def test_random_content_never_raises_anything_but_a_refusal(tmp_path, tail, counts):
    path = tmp_path / "random.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + tail)
    with pytest.raises(ModelRefused):
        check_gguf(path)
