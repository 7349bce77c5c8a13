"""``danzar estimate``: parts that add up, JSON in bytes, and one clear line for what is wrong."""

import asyncio
import json
import re
from pathlib import Path

import pytest

from danzar.broker.measured import MEASURED_FILE, MeasuredKey, Measurements
from danzar.estimate.correct import settings_key
from danzar.estimate.fingerprint import fingerprint

PARTS = ("weights_bytes", "kv_cache_bytes", "compute_bytes", "overhead_bytes")


def answer(ended) -> dict:
    assert ended.status == 0, ended.err
    assert ended.err == ""
    return json.loads(ended.out)


def failed_with_one_line(ended) -> str:
    assert ended.status == 1
    assert re.fullmatch(r"danzar: [^\n]+\n", ended.err), ended.err
    assert ended.out == ""
    return ended.err


def test_the_parts_of_a_model_add_up(danzar) -> None:
    told = answer(danzar("estimate", "smollm2", "--json"))

    assert told["version"] == 1
    assert told["name"] == "smollm2"
    assert told["device"] == "cuda"
    assert sum(told[part] for part in PARTS) == told["total_bytes"]
    assert told["kv_cache_bytes"] == 4 * 30 * 2048 * 2 * 192 * 2  # four conversations
    assert told["source"] == "estimated"
    assert [v["rung"] for v in told["variants"]] == ["full", "batch", "slots", "slots", "kv"]
    assert told["variants"][0]["cuda_bytes"] == told["total_bytes"] - told["overhead_bytes"]


def test_a_table_shows_the_same(danzar) -> None:
    ended = danzar("estimate", "smollm2")

    assert ended.status == 0
    for word in ("weights", "KV cache", "compute", "overhead", "total", "batch"):
        assert word in ended.out


def test_options_change_what_they_name(danzar) -> None:
    usual = answer(danzar("estimate", "smollm2", "--json"))
    longer = answer(danzar("estimate", "smollm2", "--ctx", "4096", "--json"))
    smaller = answer(danzar("estimate", "smollm2", "--batch", "128", "--json"))
    coarser = answer(danzar("estimate", "smollm2", "--kv-type", "q8_0", "--json"))

    assert longer["kv_cache_bytes"] == 2 * usual["kv_cache_bytes"]
    assert smaller["compute_bytes"] < usual["compute_bytes"] / 3
    assert coarser["kv_cache_bytes"] == usual["kv_cache_bytes"] * 17 // 32


def test_layers_divide_it_between_the_card_and_host_ram(danzar) -> None:
    part = answer(danzar("estimate", "smollm2", "--layers", "7", "--json"))
    none = answer(danzar("estimate", "smollm2", "--layers", "0", "--json"))
    whole = answer(danzar("estimate", "smollm2", "--layers", "999", "--json"))

    assert (part["gpu_layers"], part["layers"]) == (7, 31)
    assert (none["gpu_layers"], none["device"], none["overhead_bytes"]) == (0, "cpu", 0)
    assert (whole["gpu_layers"], whole["beside_bytes"] > 0) == (31, True)
    assert part["weights_bytes"] < whole["weights_bytes"]
    assert part["beside_bytes"] > whole["beside_bytes"]


def test_a_file_is_estimated_like_a_model(danzar, tmp_path) -> None:
    path = answer(danzar("estimate", "smollm2", "--json"))["path"]
    told = answer(danzar("estimate", path, "--ctx", "2048", "--json"))
    model = answer(danzar("estimate", "smollm2", "--json"))

    # A file by itself is for one conversation.
    assert told["kv_cache_bytes"] * 4 == model["kv_cache_bytes"]
    assert told["weights_bytes"] == model["weights_bytes"]


def test_a_vision_model_is_estimated_too(danzar) -> None:
    told = answer(danzar("estimate", "yolo-nano", "--batch", "4", "--json"))

    assert told["layers"] is None
    assert told["kv_cache_bytes"] == 0
    assert [v["settings"] for v in told["variants"]] == [{}, {"max_batch": 2}, {"max_batch": 1}]


SHIPPED = {"n_ctx": 2048, "slots": 4, "flash_attn": True}


@pytest.mark.parametrize(("layers", "device"), [("0", "cpu"), ("31", "NVIDIA GeForce RTX 4070")])
def test_what_was_measured_corrects_it_and_is_named(danzar, tmp_path, layers, device) -> None:
    before = answer(danzar("estimate", "smollm2", "--layers", layers, "--json"))
    bytes_of = "host_bytes" if device == "cpu" else "cuda_bytes"
    estimated_bytes = before["variants"][0][bytes_of]
    key = MeasuredKey("llama", fingerprint(before["path"]), settings_key(SHIPPED), device)

    async def record() -> None:
        async with Measurements.open(tmp_path / "data" / MEASURED_FILE) as measurements:
            for more_bytes in (5_000_000, 7_000_000, 6_000_000):
                await measurements.record(key, estimated_bytes, estimated_bytes + more_bytes, 1.0)

    asyncio.run(record())
    after = answer(danzar("estimate", "smollm2", "--layers", layers, "--json"))

    assert after["source"] == "measured 3 times"
    assert after["total_bytes"] == before["total_bytes"] + 6_000_000
    assert after["variants"][0][bytes_of] == estimated_bytes + 6_000_000


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nosuch",), "there is no model and no file 'nosuch'; known models: clip-doom"),
        (("README.md",), "README.md is no GGUF file"),
        (("yolo-nano", "--ctx", "5"), "no language model"),
        (("yolo-nano", "--kv-type", "f16"), "no language model"),
        (("yolo-nano", "--layers", "3"), "can't be divided by layers"),
        (("qwen2.5-7b-instruct",), "danzar models pull qwen2.5-7b-instruct"),
    ],
)
def test_what_can_not_be_estimated_is_one_line(danzar, arguments, words) -> None:
    assert words in failed_with_one_line(danzar("estimate", *arguments))


def test_a_cut_file_is_one_line(danzar, tmp_path) -> None:
    whole = Path(answer(danzar("estimate", "smollm2", "--json"))["path"])
    with whole.open("rb") as stream:
        (tmp_path / "cut.gguf").write_bytes(stream.read(2_000_000))

    assert "cut.gguf is cut" in failed_with_one_line(danzar("estimate", str(tmp_path / "cut.gguf")))


@pytest.mark.parametrize(
    "arguments",
    [(), ("smollm2", "--ctx", "0"), ("smollm2", "--layers", "-1"), ("smollm2", "--kv-type", "q9")],
)
def test_a_wrong_call_is_status_2(danzar, arguments) -> None:
    assert danzar("estimate", *arguments).status == 2
