"""Small GGUF files of many shapes, all zeros, and the buffers that llama.cpp reports for them.

llama.cpp allocates for zeros what it allocates for weights.
"""

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from danzar.estimate.gguf import GgufSettings

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
    for name, value in job.items():
        setattr(params, name, value)
    context = llama.llama_init_from_model(model, params)
    print("MADE" if context else "FAILED", file=sys.stderr, flush=True)
    llama.llama_free(context)
"""
GGML_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}
BUFFER = re.compile(r"(model|KV|RS|compute|output) buffer size = +([\d.]+) MiB")


@dataclass(frozen=True)
class Shape:
    """A network to be written as zeros. ``kv_heads`` may be a list, one for each layer."""

    architecture: str = "llama"
    width: int = 512
    forward: int = 1536
    heads: int | tuple[int, ...] = 8
    kv_heads: int | tuple[int, ...] = 4
    head_width: int = 64
    vocabulary: int = 400
    tied: bool = False
    layers: int = 3
    window: int | None = None
    experts: int = 0
    experts_used: int = 0
    key_rank: int = 0
    weights: str = "F16"
    extra: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Buffers:
    """Bytes that llama.cpp allocated, by kind; all buffers of a kind together."""

    weights_bytes: float
    kv_cache_bytes: float
    compute_bytes: float

    @property
    def total_bytes(self) -> float:
        return self.weights_bytes + self.kv_cache_bytes + self.compute_bytes


SHAPES = {
    "MHA": Shape(kv_heads=8),
    "GQA": Shape(kv_heads=2),
    "MQA": Shape(kv_heads=1),
    "wide feed-forward": Shape(forward=8192),
    "heads wider than the hidden state": Shape(head_width=128),
    "large vocabulary": Shape(vocabulary=64_000, tied=True),
    "heads per layer (deci)": Shape(
        "deci", heads=(8, 8, 8, 8), kv_heads=(8, 1, 4, 0), layers=4, forward=1024
    ),
    "qwen2 0.5B": Shape("qwen2", 896, 4864, 14, 2, 64, 2000, tied=True),
    "qwen3": Shape("qwen3", 640, 2048, 10, 5, 128, 3000, tied=True),
    "sliding window (gemma2)": Shape(
        "gemma2", 768, 3072, 6, 3, 128, 8000, tied=True, layers=4, window=512
    ),
    "sliding window (gemma3)": Shape(
        "gemma3", 640, 2048, 4, 1, 256, 16_000, tied=True, layers=6, window=512
    ),
    "sliding window, experts (gpt-oss)": Shape(
        "gpt-oss", 640, 640, 16, 4, 64, 4000, layers=4, window=128, experts=8, experts_used=4
    ),
    "experts (mixtral)": Shape(forward=1024, experts=8, experts_used=2),
    "experts (qwen3moe)": Shape("qwen3moe", 512, 256, 8, 2, 64, 4000, experts=32, experts_used=8),
    "latent attention (deepseek2)": Shape(
        "deepseek2", 512, 1024, 8, 1, 0, 2000, experts=8, experts_used=2, key_rank=256
    ),
    "phi3, fused": Shape("phi3", 768, 2048, 12, 12, 64, 4000),
    "half the hidden state in one head": Shape(width=256, heads=2, kv_heads=1, head_width=128),
    "one narrow layer": Shape(
        width=384, heads=1, kv_heads=1, head_width=32, forward=64, layers=1, vocabulary=64
    ),
    "Q4_0 weights": Shape(width=512, weights="Q4_0"),
    "Q8_0 weights": Shape(width=512, weights="Q8_0"),
    "Q4_K weights": Shape(width=512, weights="Q4_K"),
    "Q4_K weights, tied": Shape(width=512, weights="Q4_K", tied=True, vocabulary=4000),
    "MXFP4 experts": Shape(forward=1024, experts=8, experts_used=2, weights="MXFP4"),
}


def write_zeros(path: Path, shape: Shape) -> Path:
    """Write the network and return its file."""
    from gguf import GGUFWriter

    writer = GGUFWriter(path, shape.architecture)
    _write_facts(writer, shape)
    for name, (size, kind) in _tensors(shape).items():
        _add_zeros(writer, name, size, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_facts(writer, shape: Shape) -> None:
    writer.add_block_count(shape.layers)
    writer.add_context_length(32_768)
    writer.add_embedding_length(shape.width)
    writer.add_feed_forward_length(shape.forward)
    writer.add_head_count(list(shape.heads) if isinstance(shape.heads, tuple) else shape.heads)
    kv_heads = shape.kv_heads
    writer.add_head_count_kv(list(kv_heads) if isinstance(kv_heads, tuple) else kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_tokenizer_model("no_vocab")
    if shape.key_rank:
        _write_latent(writer, shape)
    else:
        writer.add_key_length(shape.head_width)
        writer.add_value_length(shape.head_width)
        writer.add_rope_dimension_count(shape.head_width)
    if shape.window:
        writer.add_sliding_window(shape.window)
    if shape.experts:
        writer.add_expert_count(shape.experts)
        writer.add_expert_used_count(shape.experts_used)
        if shape.architecture != "llama":
            writer.add_expert_feed_forward_length(shape.forward)


def _write_latent(writer, shape: Shape) -> None:
    writer.add_kv_lora_rank(shape.key_rank)
    writer.add_q_lora_rank(shape.key_rank)
    writer.add_key_length(shape.key_rank + 32)
    writer.add_value_length(shape.key_rank)
    writer.add_key_length_mla(96)
    writer.add_value_length_mla(64)
    writer.add_rope_dimension_count(32)
    writer.add_leading_dense_block_count(1)
    writer.add_expert_shared_count(1)


def _tensors(shape: Shape) -> dict[str, tuple[tuple[int, ...], str]]:
    """Name: (size, kind of number)."""
    table = (shape.vocabulary, shape.width)
    found = {"token_embd.weight": (table, shape.weights)}
    if not shape.tied:
        found["output.weight"] = (table, shape.weights)
    found["output_norm.weight"] = ((shape.width,), "F32")
    for layer in range(shape.layers):
        for name, size in _matrices(shape, layer).items():
            found[f"blk.{layer}.{name}.weight"] = (size, shape.weights)
        for name, size in _vectors(shape, layer).items():
            found[f"blk.{layer}.{name}"] = (size, "F32")
    return found


def _of_layer(value, layer: int) -> int:
    return value[layer] if isinstance(value, tuple) else value


def _matrices(shape: Shape, layer: int) -> dict[str, tuple[int, ...]]:
    return _attention(shape, layer) | _feed_forward(shape, layer)


def _attention(shape: Shape, layer: int) -> dict[str, tuple[int, ...]]:
    width, rank = shape.width, shape.key_rank
    heads, kv_heads = _of_layer(shape.heads, layer), _of_layer(shape.kv_heads, layer)
    if rank:
        return {
            "attn_q_a": (rank, width),
            "attn_q_b": (heads * 96, rank),
            "attn_kv_a_mqa": (rank + 32, width),
            "attn_k_b": (heads, rank, 64),
            "attn_v_b": (heads, 64, rank),
            "attn_output": (width, heads * 64),
        }
    if kv_heads == 0:
        return {"attn_output": (width, width)}
    queries, keys = heads * shape.head_width, kv_heads * shape.head_width
    if shape.architecture == "phi3":
        return {"attn_qkv": (queries + 2 * keys, width), "attn_output": (width, queries)}
    return {
        "attn_q": (queries, width),
        "attn_k": (keys, width),
        "attn_v": (keys, width),
        "attn_output": (width, queries),
    }


def _feed_forward(shape: Shape, layer: int) -> dict[str, tuple[int, ...]]:
    width, forward, experts = shape.width, shape.forward, shape.experts
    if shape.architecture == "phi3":
        return {"ffn_up": (2 * forward, width), "ffn_down": (width, forward)}
    if not experts or (shape.key_rank and layer == 0):
        return {
            "ffn_gate": (forward, width),
            "ffn_up": (forward, width),
            "ffn_down": (width, forward),
        }
    found = {
        "ffn_gate_exps": (experts, forward, width),
        "ffn_up_exps": (experts, forward, width),
        "ffn_down_exps": (experts, width, forward),
    }
    if shape.key_rank:
        found |= {
            "ffn_gate_shexp": (forward, width),
            "ffn_up_shexp": (forward, width),
            "ffn_down_shexp": (width, forward),
        }
    return found


def _vectors(shape: Shape, layer: int) -> dict[str, tuple[int, ...]]:
    width, architecture = shape.width, shape.architecture
    heads, kv_heads = _of_layer(shape.heads, layer), _of_layer(shape.kv_heads, layer)
    queries, keys = heads * shape.head_width, kv_heads * shape.head_width
    found = {"attn_norm.weight": (width,), "ffn_norm.weight": (width,)}
    if architecture == "qwen2":
        found |= {"attn_q.bias": (queries,), "attn_k.bias": (keys,), "attn_v.bias": (keys,)}
    if architecture in ("qwen3", "qwen3moe", "gemma3"):
        found |= {
            "attn_q_norm.weight": (shape.head_width,),
            "attn_k_norm.weight": (shape.head_width,),
        }
    if architecture in ("gemma2", "gemma3"):
        found |= {"post_attention_norm.weight": (width,), "post_ffw_norm.weight": (width,)}
    if shape.experts and not (shape.key_rank and layer == 0):
        found["ffn_gate_inp.weight"] = (shape.experts, width)
    if shape.key_rank:
        found |= {
            "attn_q_a_norm.weight": (shape.key_rank,),
            "attn_kv_a_norm.weight": (shape.key_rank,),
        }
    if architecture == "gpt-oss":
        del found["ffn_norm.weight"]
        found |= {
            "post_attention_norm.weight": (width,),
            "attn_sinks.weight": (heads,),
            "attn_q.bias": (queries,),
            "attn_k.bias": (keys,),
            "attn_v.bias": (keys,),
            "attn_output.bias": (width,),
            "ffn_gate_inp.bias": (shape.experts,),
            "ffn_gate_exps.bias": (shape.experts, shape.forward),
            "ffn_up_exps.bias": (shape.experts, shape.forward),
            "ffn_down_exps.bias": (shape.experts, width),
        }
    return found


def _add_zeros(writer, name: str, size: tuple[int, ...], kind: str) -> None:
    import numpy as np
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if kind in ("F16", "F32"):
        writer.add_tensor(name, np.zeros(size, np.float16 if kind == "F16" else np.float32))
        return
    quantised = GGMLQuantizationType[kind]
    block, block_bytes = GGML_QUANT_SIZES[quantised]
    raw = np.zeros((*size[:-1], size[-1] // block * block_bytes), np.uint8)
    writer.add_tensor(name, raw, raw_dtype=quantised)


def buffers_of_llama_cpp(path: Path, settings: Sequence[GgufSettings]) -> list[Buffers]:
    """What llama.cpp says it allocated for each of the settings, in another process."""
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path), json.dumps([_job(each) for each in settings])],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    load, *contexts = done.stderr.split("JOB\n")
    assert all("MADE" in context for context in contexts), done.stderr[-3000:]
    weights_bytes = _sums(load)["model"]
    return [_buffers(weights_bytes, _sums(context)) for context in contexts]


def _job(settings: GgufSettings) -> dict[str, int]:
    return {
        "n_ctx": settings.context * settings.sequences,
        "n_seq_max": settings.sequences,
        "n_outputs_max": settings.sequences,
        "n_batch": settings.batch,
        "n_ubatch": settings.batch,
        "flash_attn_type": int(settings.flash_attention),
        "type_k": GGML_TYPES[settings.key_type],
        "type_v": GGML_TYPES[settings.value_type],
        "swa_full": settings.full_windows,
    }


def _sums(log: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for kind, size_mib in BUFFER.findall(log):
        sums[kind] = sums.get(kind, 0.0) + float(size_mib) * MIB
    return sums


def _buffers(weights_bytes: float, sums: dict[str, float]) -> Buffers:
    return Buffers(
        weights_bytes,
        sums.get("KV", 0.0) + sums.get("RS", 0.0),
        sums["compute"] + sums["output"],
    )


PROJECTOR = """
import sys
import llama_cpp as llama
from llama_cpp import mtmd_cpp as mtmd
model = llama.llama_model_load_from_file(sys.argv[1].encode(), llama.llama_model_default_params())
params = mtmd.mtmd_context_params_default()
params.use_gpu, params.warmup = False, True
made = mtmd.mtmd_init_from_file(sys.argv[2].encode(), model, params)
print("MADE" if made else "FAILED", file=sys.stderr)
"""


@dataclass(frozen=True)
class Encoder:
    """A picture encoder with a projector, as LLaVA has it."""

    side: int = 336
    patch: int = 14
    width: int = 256
    forward: int = 1024
    heads: int = 4
    layers: int = 4
    result: int = 512


def write_projector(path: Path, encoder: Encoder) -> Path:
    """Write it as zeros, and return its file."""
    import numpy as np
    from gguf import GGUFWriter

    writer = GGUFWriter(path, "clip")
    _write_encoder_facts(writer, encoder)
    for name, size in _encoder_tensors(encoder).items():
        is_matrix = len(size) == 2 and not name.startswith("v.position")
        writer.add_tensor(name, np.zeros(size, np.float16 if is_matrix else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _write_encoder_facts(writer, encoder: Encoder) -> None:
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.use_gelu", True)
    writer.add_string("clip.projector_type", "mlp")
    numbers = {
        "image_size": encoder.side,
        "patch_size": encoder.patch,
        "embedding_length": encoder.width,
        "feed_forward_length": encoder.forward,
        "block_count": encoder.layers,
        "projection_dim": encoder.result,
        "attention.head_count": encoder.heads,
    }
    for name, number in numbers.items():
        writer.add_uint32(f"clip.vision.{name}", number)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    for name in ("image_mean", "image_std"):
        writer.add_array(f"clip.vision.{name}", [0.5, 0.5, 0.5])


def _encoder_tensors(encoder: Encoder) -> dict[str, tuple[int, ...]]:
    width, forward, result = encoder.width, encoder.forward, encoder.result
    found: dict[str, tuple[int, ...]] = {
        "v.patch_embd.weight": (width, 3, encoder.patch, encoder.patch),
        "v.class_embd": (width,),
        "v.position_embd.weight": ((encoder.side // encoder.patch) ** 2 + 1, width),
        "mm.0.weight": (result, width),
        "mm.0.bias": (result,),
        "mm.2.weight": (result, result),
        "mm.2.bias": (result,),
    }
    for name in ("pre_ln", "post_ln"):
        found |= {f"v.{name}.weight": (width,), f"v.{name}.bias": (width,)}
    for layer in range(encoder.layers):
        block = f"v.blk.{layer}"
        for name in ("attn_q", "attn_k", "attn_v", "attn_out"):
            found |= {f"{block}.{name}.weight": (width, width), f"{block}.{name}.bias": (width,)}
        found |= {f"{block}.ffn_up.weight": (forward, width), f"{block}.ffn_up.bias": (forward,)}
        found |= {f"{block}.ffn_down.weight": (width, forward), f"{block}.ffn_down.bias": (width,)}
        for name in ("ln1", "ln2"):
            found |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
    return found


def encoder_buffer_of_llama_cpp(model: Path, projector: Path) -> float:
    """Bytes of the compute buffer that llama.cpp makes for a projector."""
    done = subprocess.run(
        [sys.executable, "-c", PROJECTOR, str(model), str(projector)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "MADE" in done.stderr, done.stderr[-3000:]
    return _sums(done.stderr)["compute"]
