"""The estimate beside what llama.cpp itself allocates.

For a real model, and for models of zeros in other shapes, which llama.cpp loads just as well.
"""

import json
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

from danzar.estimate.gguf import GgufSettings, split_footprint
from danzar.estimate.gguf_model import read_model

pytestmark = pytest.mark.model

MIB = 1024**2
LOAD = """
import json, sys
import llama_cpp as llama
path, jobs = sys.argv[1], json.loads(sys.argv[2])
llama.llama_backend_init()
model = llama.llama_model_load_from_file(path.encode(), llama.llama_model_default_params())
for job in jobs:
    print("JOB", file=sys.stderr, flush=True)
    params = llama.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = job["context"], job["batch"], job["batch"]
    params.flash_attn_type, params.type_k, params.type_v = job["flash"], job["kv"], job["kv"]
    llama.llama_free(llama.llama_init_from_model(model, params))
"""
GGML_TYPES = {"f16": 1, "q8_0": 8}
BUFFER = re.compile(r"(model|KV|compute|output) buffer size = +([\d.]+) MiB")
SETTINGS = [
    GgufSettings(512, gpu_layers=0),
    GgufSettings(2048, gpu_layers=0),
    GgufSettings(8192, gpu_layers=0),
    GgufSettings(8192, batch=128, gpu_layers=0),
    GgufSettings(4096, batch=2048, gpu_layers=0),
    GgufSettings(16384, gpu_layers=0, flash_attention=True),
    GgufSettings(4096, gpu_layers=0, kv_type="q8_0", flash_attention=True),
]


def buffers_of_llama_cpp(path):
    """MiB by kind for each of ``SETTINGS``, from the lines that llama.cpp writes at a load."""
    jobs = [
        {
            "context": s.context,
            "batch": s.batch,
            "flash": int(s.flash_attention),
            "kv": GGML_TYPES[s.kv_type],
        }
        for s in SETTINGS
    ]
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path), json.dumps(jobs)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    load, *contexts = done.stderr.split("JOB\n")
    weights = {kind: float(size) for kind, size in BUFFER.findall(load)}
    return [
        weights | {kind: float(size) for kind, size in BUFFER.findall(context)}
        for context in contexts
    ]


def errors_pct(path):
    """For each of ``SETTINGS``, how far each part is from what llama.cpp allocated, in percent."""
    model = read_model(path)
    rows = []
    for settings, measured in zip(SETTINGS, buffers_of_llama_cpp(path), strict=True):
        ours = split_footprint(model, settings).host
        pairs = {
            "weights": (ours.weights_bytes, measured["model"]),
            "kv": (ours.kv_cache_bytes, measured["KV"]),
            "compute": (ours.activations_bytes, measured["compute"] + measured["output"]),
            "total": (ours.total_bytes, sum(measured.values())),
        }
        rows.append({k: round(100 * (e / MIB / m - 1), 2) for k, (e, m) in pairs.items()})
    return rows


def worst(rows, part):
    return max(abs(row[part]) for row in rows)


def test_smollm2_is_estimated_within_two_percent(smollm2):
    rows = errors_pct(smollm2)
    assert worst(rows, "total") < 1, rows
    assert worst(rows, "compute") < 2, rows
    assert worst(rows, "kv") < 0.1, rows
    assert worst(rows, "weights") < 0.1, rows


@dataclass(frozen=True)
class Shape:
    """A network to be written as zeros."""

    architecture: str = "llama"
    width: int = 512
    forward: int = 1536
    heads: int = 8
    kv_heads: int = 4
    head_width: int = 64
    vocabulary: int = 400
    tied: bool = False


def write_zeros(path, shape, layers=3):
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, shape.architecture)
    writer.add_block_count(layers)
    writer.add_context_length(32_768)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_width)
    writer.add_value_length(shape.head_width)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    queries, keys = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    matrices = {
        "attn_q": (queries, shape.width),
        "attn_k": (keys, shape.width),
        "attn_v": (keys, shape.width),
        "attn_output": (shape.width, queries),
        "ffn_gate": (shape.forward, shape.width),
        "ffn_up": (shape.forward, shape.width),
        "ffn_down": (shape.width, shape.forward),
    }
    vectors = {"attn_norm.weight": shape.width, "ffn_norm.weight": shape.width}
    if shape.architecture == "qwen2":
        vectors |= {"attn_q.bias": queries, "attn_k.bias": keys, "attn_v.bias": keys}
    for name in ("token_embd", *(() if shape.tied else ("output",))):
        writer.add_tensor(f"{name}.weight", np.zeros((shape.vocabulary, shape.width), np.float16))
    writer.add_tensor("output_norm.weight", np.zeros(shape.width, np.float32))
    for layer in range(layers):
        for name, size in matrices.items():
            writer.add_tensor(f"blk.{layer}.{name}.weight", np.zeros(size, np.float16))
        for name, length in vectors.items():
            writer.add_tensor(f"blk.{layer}.{name}", np.zeros(length, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(Shape(), id="shared keys"),
        pytest.param(Shape(kv_heads=8), id="no shared keys"),
        pytest.param(Shape(forward=8192), id="wide feed-forward"),
        pytest.param(Shape(head_width=128), id="heads wider than the hidden state"),
        pytest.param(Shape("qwen2", 896, 4864, 14, 2, 64, 2000, tied=True), id="qwen2 0.5B"),
    ],
)
def test_other_shapes_are_estimated_within_ten_percent(tmp_path, shape):
    write_zeros(tmp_path / "zeros.gguf", shape)
    rows = errors_pct(tmp_path / "zeros.gguf")
    assert worst(rows, "weights") < 0.1, rows
    assert worst(rows, "kv") < 0.1, rows
    assert worst(rows, "total") < 3, rows
    assert worst(rows, "compute") < 10, rows
