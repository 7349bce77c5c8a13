"""What a GGUF model is made of, as far as its need for memory goes."""

import re
from dataclasses import dataclass
from pathlib import Path

from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.gguf_facts import Facts
from danzar.estimate.gguf_header import GgufHeader, Tensor, read_header
from danzar.estimate.gguf_layers import Layer, layers_of, rewritten_bytes, window_tokens
from danzar.units import format_size

_MAX_LAYERS = 1024
# Read on the CPU, wherever the layers are.
_INPUTS = (
    "token_embd",
    "token_embd_norm",
    "token_types",
    "position_embd",
    "per_layer_token_embd",
)
_PART = re.compile(r"^(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A whole model: all parts of a file that was split.

    Attributes:
        layers: Its blocks, without those that only guess ahead (llama.cpp leaves them out).
        input_bytes: The embedding tables, which stay in host RAM.
        output_bytes: What follows the last block. A model that uses its embedding table again as
            output has a second copy of it where the output is computed.
        shared_bytes: How much of the output is such a copy.
        rewritten_bytes: How much of the output the CPU computes with in a copy of its own.
        trained_context: Tokens that it was trained for; ``None`` where the file does not say.
        window_tokens: How many tokens layers with a window see; ``None`` where none has one.
    """

    layers: tuple[Layer, ...]
    input_bytes: int
    output_bytes: int
    shared_bytes: int
    rewritten_bytes: int
    embedding_width: int
    vocabulary: int
    trained_context: int | None = None
    window_tokens: int | None = None


def read_model(path: str | Path) -> GgufModel:
    """Read what a model is made of. Blocks for tens of milliseconds.

    Raises:
        danzar.errors.ModelMissing: The file, or a part of it, is not there.
        danzar.errors.ModelRefused: It is no GGUF, is cut or damaged, or holds no model.
    """
    headers = read_whole(path)
    tensors = [tensor for header in headers for tensor in header.tensors]
    return _describe(Facts(headers[0]), tensors)


def read_whole(path: str | Path) -> list[GgufHeader]:
    """The headers of all parts of a file, each of them whole. Raises as ``read_model`` does."""
    headers = _read_parts(Path(path))
    for header in headers:
        _check_whole(header)
    if not any(header.tensors for header in headers):
        raise ModelRefused(f"{headers[0].path.name} holds no weights; name a whole model's file")
    return headers


def _check_whole(header: GgufHeader) -> None:
    missing_bytes = header.needed_bytes - header.file_bytes
    if missing_bytes > 0:
        raise ModelRefused(
            f"{header.path.name} is cut: {format_size(header.file_bytes)} of "
            f"{format_size(header.needed_bytes)} are there; download it again"
        )


def _read_parts(path: Path) -> list[GgufHeader]:
    """The header, and those of the further parts where the model was split."""
    first = read_header(path)
    parts = first.metadata.get("split.count", 1)
    if not isinstance(parts, int) or parts <= 1:
        return [first]
    name = _PART.match(path.name)
    if name is None or int(name["part"]) != 1 or int(name["parts"]) != parts:
        raise ModelRefused(
            f"{path.name} is one of {parts} parts; name the first, which ends in "
            f"-00001-of-{parts:05d}.gguf"
        )
    others = [
        path.with_name(f"{name['stem']}-{n:05d}-of-{parts:05d}.gguf") for n in range(2, parts + 1)
    ]
    absent = next((other for other in others if not other.exists()), None)
    if absent is not None:
        raise ModelMissing(f"{absent.name} is missing: the model has {parts} parts; download all")
    return [first, *(read_header(other) for other in others)]


def _describe(facts: Facts, tensors: list[Tensor]) -> GgufModel:
    layer_count = facts.number("block_count") - facts.count("nextn_predict_layers")
    if not 1 <= layer_count <= _MAX_LAYERS:
        raise ModelRefused(f"{facts.header.path.name} claims {layer_count} layers; it is damaged")
    blocks, others = _by_place(tensors)
    table_bytes = others.get("token_embd", 0)
    has_output = any(tensor.name == "output.weight" for tensor in tensors)
    shared_bytes = 0 if has_output else table_bytes
    output = "output.weight" if has_output else "token_embd.weight"
    input_bytes = sum(others.pop(name, 0) for name in _INPUTS)
    return GgufModel(
        layers=layers_of(facts, [blocks.get(n, {}) for n in range(layer_count)]),
        input_bytes=input_bytes,
        output_bytes=sum(others.values()) + shared_bytes,
        shared_bytes=shared_bytes,
        rewritten_bytes=sum(rewritten_bytes(t) for t in tensors if t.name == output),
        embedding_width=facts.number("embedding_length"),
        vocabulary=facts.number("vocab_size", facts.header.lengths.get("tokenizer.ggml.tokens")),
        trained_context=facts.count("context_length") or None,
        window_tokens=window_tokens(facts),
    )


def _by_place(tensors: list[Tensor]) -> tuple[dict[int, dict[str, Tensor]], dict[str, int]]:
    """The tensors of each block by name, and bytes of the others by name before the first dot."""
    blocks: dict[int, dict[str, Tensor]] = {}
    others: dict[str, int] = {}
    for tensor in tensors:
        first, _, rest = tensor.name.partition(".")
        number, _, name = rest.partition(".")
        if first == "blk" and number.isdecimal():
            blocks.setdefault(int(number), {})[name] = tensor
        else:
            others[first] = others.get(first, 0) + tensor.size_bytes
    return blocks, others
