"""The layers of a GGUF model: what each keeps of a token, and how wide its parts are.

What llama.cpp decides by a model's name (windows that the file does not mention, layers that share
a cache) stands here as tables; everything else comes from the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from danzar.estimate.gguf_facts import Facts
from danzar.estimate.gguf_header import Tensor

_FLOAT_BYTES = 4
# Q4_0, Q2_K, Q4_K, IQ4_NL and MXFP4: on x86 llama.cpp copies such matrices, eight rows interleaved.
_REWRITTEN = frozenset({2, 10, 12, 20, 39})
_REWRITTEN_ROWS = 8
# Every how many layers one sees all tokens, where the file does not say it; and whether it is the
# first of them or the last. Others have windows only where the file lists the layers.
_WINDOW_PATTERNS: Mapping[str, tuple[int, bool]] = {
    "afmoe": (4, False),
    "cohere2": (4, False),
    "cohere2moe": (4, True),
    "exaone-moe": (4, False),
    "exaone4": (4, False),
    "gemma2": (2, False),
    "gemma3": (6, False),
    "gemma3n": (5, False),
    "gpt-oss": (2, False),
    "llama4": (4, False),
    "olmo2": (4, False),
    "plamo3": (8, False),
    "smallthinker": (4, True),
}
_WINDOWS: Mapping[str, int] = {"gemma2": 4096, "exaone-moe": 128, "llama4": 8192}
# Of gemma3n the first 20 layers keep a cache, which the others read.
_CACHED_FROM_START: Mapping[str, int] = {"gemma3n": 20}


@dataclass(frozen=True, slots=True)
class FeedForward:
    """What follows attention. Widths are numbers per token; 0 where there is no such part.

    Attributes:
        width: Of the dense part, or of the part that all tokens share beside experts.
        gates: Results of that width at once: 2 with a gate, 1 without.
        fused: Gate and the other half come from one matrix.
        expert_width: Of one expert.
        experts: How many there are.
        experts_used: How many of them one token goes through.
    """

    width: int
    gates: int = 2
    fused: bool = False
    expert_width: int = 0
    experts: int = 0
    experts_used: int = 0


@dataclass(frozen=True, slots=True)
class Latent:
    """Attention that keeps one compressed key for all heads (MLA). Numbers per token.

    Attributes:
        query_rank: Width that queries are compressed to; 0 where they are not.
        rank: Width of the compressed key, which is the value, too.
        turned: Further numbers of a key, which carry the position.
        key_width: Of one head's query before compression.
        value_width: Of one head's result.
    """

    query_rank: int
    rank: int
    turned: int
    key_width: int
    value_width: int


@dataclass(frozen=True, slots=True)
class Layer:
    """One block of the network.

    Attributes:
        weights_bytes: Its tensors, as far as llama.cpp loads them.
        rewritten_bytes: Those of them that the CPU computes with in another order, in a copy.
        heads: Attention heads; several may share their keys and values.
        kv_heads: Those with keys and values of their own; 0 without attention to other tokens.
        key_head_width: Numbers per token in one head's key.
        value_head_width: The same for values; 0 where the key serves as value.
        is_cached: Whether it keeps keys and values (else it reads another layer's).
        is_windowed: Whether it sees only the last tokens.
        state_bytes: What a recurrent layer keeps of the whole conversation.
        fused: Queries, keys and values come from one matrix.
    """

    weights_bytes: int
    rewritten_bytes: int
    heads: int
    kv_heads: int
    key_head_width: int
    value_head_width: int
    feed_forward: FeedForward
    is_cached: bool = True
    is_windowed: bool = False
    state_bytes: int = 0
    fused: bool = False
    latent: Latent | None = None

    @property
    def key_width(self) -> int:
        """Numbers per token that are kept as keys, or would be."""
        return self.kv_heads * self.key_head_width

    @property
    def value_width(self) -> int:
        """Numbers per token that are kept as values, or would be."""
        return 0 if self.latent else self.kv_heads * self.value_head_width


def layers_of(facts: Facts, blocks: list[dict[str, Tensor]]) -> tuple[Layer, ...]:
    """The layers, given the tensors of each by their names within it."""
    count = len(blocks)
    heads = facts.per_layer("attention.head_count", count, [0] * count)
    kv_heads = facts.per_layer("attention.head_count_kv", count, heads)
    windows = _windowed(facts, count)
    cached = _cached_layers(facts, count)
    recurrent = _recurrent(facts, kv_heads)
    return tuple(
        Layer(
            weights_bytes=sum(tensor.size_bytes for tensor in block.values()),
            rewritten_bytes=sum(rewritten_bytes(tensor) for tensor in block.values()),
            heads=heads[n],
            kv_heads=0 if recurrent[n] else kv_heads[n],
            key_head_width=_head_width(facts, "key", heads, windows[n]),
            value_head_width=_head_width(facts, "value", heads, windows[n]),
            feed_forward=_feed_forward(facts, block, n, count),
            is_cached=n < cached,
            is_windowed=windows[n],
            state_bytes=_state_bytes(facts) if recurrent[n] else 0,
            fused="attn_qkv.weight" in block,
            latent=_latent(facts, block),
        )
        for n, block in enumerate(blocks)
    )


def rewritten_bytes(tensor: Tensor) -> int:
    """What llama.cpp's copy of a matrix takes where the CPU computes with it."""
    matrix = len(tensor.shape) > 1 and tensor.shape[1] % _REWRITTEN_ROWS == 0
    return tensor.size_bytes if matrix and tensor.kind in _REWRITTEN else 0


def window_tokens(facts: Facts) -> int | None:
    """How many tokens a layer with a window sees; ``None`` where no layer has one."""
    may = facts.architecture in _WINDOW_PATTERNS or _listed_pattern(facts) is not None
    tokens = facts.count("attention.sliding_window") or _WINDOWS.get(facts.architecture, 0)
    return tokens if may and tokens else None


def _windowed(facts: Facts, count: int) -> list[bool]:
    if window_tokens(facts) is None:
        return [False] * count
    listed = _listed_pattern(facts)
    every, first = _WINDOW_PATTERNS.get(facts.architecture, (0, False))
    if isinstance(listed, tuple):
        return [bool(listed[n]) if n < len(listed) else False for n in range(count)]
    if listed is not None:
        every = listed
    if every == 0:
        return [True] * count
    return [n % every != (0 if first else every - 1) for n in range(count)]


def _listed_pattern(facts: Facts) -> int | tuple[int | float | bool, ...] | None:
    value = facts.value("attention.sliding_window_pattern")
    return value if isinstance(value, int | tuple) else None


def _cached_layers(facts: Facts, count: int) -> int:
    """How many layers from the first keep a cache of their own."""
    if facts.architecture in _CACHED_FROM_START:
        return _CACHED_FROM_START[facts.architecture]
    return count - facts.count("attention.shared_kv_layers")


def _recurrent(facts: Facts, kv_heads: list[int]) -> list[bool]:
    """Layers that keep one state instead of all tokens."""
    every = facts.count("full_attention_interval")
    if every:
        return [(n + 1) % every != 0 for n in range(len(kv_heads))]
    has_state = facts.count("ssm.state_size") or facts.count("shortconv.l_cache")
    return [bool(has_state) and heads == 0 for heads in kv_heads]


def _state_bytes(facts: Facts) -> int:
    """What a recurrent layer keeps: the last inputs of its convolution, and its state."""
    kernel = facts.count("shortconv.l_cache")
    if kernel:
        return facts.number("embedding_length") * (kernel - 1) * _FLOAT_BYTES
    inner, state = facts.count("ssm.inner_size"), facts.count("ssm.state_size")
    kept = max(0, facts.count("ssm.conv_kernel") - 1)
    convolved = inner + 2 * facts.count("ssm.group_count") * state
    return (kept * convolved + state * inner) * _FLOAT_BYTES


def _head_width(facts: Facts, kind: str, heads: list[int], windowed: bool) -> int:
    usual = facts.number("embedding_length") // max(1, *heads)
    width = facts.number(f"attention.{kind}_length", usual or 1)
    return facts.number(f"attention.{kind}_length_swa", width) if windowed else width


def _latent(facts: Facts, block: dict[str, Tensor]) -> Latent | None:
    key_width = facts.count("attention.key_length_mla")
    if not key_width or "attn_kv_a_mqa.weight" not in block:
        return None
    return Latent(
        query_rank=facts.count("attention.q_lora_rank") if "attn_q_a.weight" in block else 0,
        rank=facts.number("attention.kv_lora_rank"),
        turned=facts.count("rope.dimension_count"),
        key_width=key_width,
        value_width=facts.number("attention.value_length_mla"),
    )


def _feed_forward(facts: Facts, block: dict[str, Tensor], layer: int, count: int) -> FeedForward:
    """By the tensors themselves where they are there, else by what the file says."""
    up = block.get("ffn_up.weight") or block.get("ffn_up_shexp.weight")
    gated = "ffn_gate.weight" in block or "ffn_gate_shexp.weight" in block
    down = block.get("ffn_down.weight") or block.get("ffn_down_shexp.weight")
    experts = block.get("ffn_up_exps.weight") or block.get("ffn_gate_up_exps.weight")
    if up is None and experts is None:
        stated = facts.per_layer("feed_forward_length", count, [0] * count)
        return FeedForward(stated[layer])
    fused = up is not None and down is not None and _rows(up) == 2 * down.shape[0]
    width = 0 if up is None else _rows(up) // (2 if fused else 1)
    if experts is None:
        return FeedForward(width, 2 if gated or fused else 1, fused)
    halves = 2 if "ffn_gate_up_exps.weight" in block else 1
    return FeedForward(
        width,
        expert_width=_rows(experts) // halves,
        experts=experts.shape[-1],
        experts_used=min(_experts_used(facts, layer, count), experts.shape[-1]),
    )


def _experts_used(facts: Facts, layer: int, count: int) -> int:
    return max(1, facts.per_layer("expert_used_count", count, [1] * count)[layer])


def _rows(tensor: Tensor) -> int:
    """How many numbers a matrix makes of a token."""
    return tensor.shape[1] if len(tensor.shape) > 1 else tensor.shape[0]
