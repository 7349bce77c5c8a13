"""What a GGUF model is made of, as far as its need for memory goes."""

import re
from dataclasses import dataclass
from pathlib import Path

from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.gguf_header import GgufHeader, Tensor, Value, read_header
from danzar.units import format_size

_MAX_LAYERS = 1024
_MAX_DIMENSION = 1 << 32
_PART = re.compile(r"^(?P<stem>.+)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf$")


@dataclass(frozen=True, slots=True)
class Layer:
    """One block of the network.

    Attributes:
        weights_bytes: Its tensors.
        heads: Attention heads; several may share their keys and values.
        query_width: Numbers per token that all heads together ask with.
        key_width: Numbers kept per token as keys; 0 for blocks without attention.
        value_width: The same for values.
        feed_forward_width: Width of what one token's feed-forward part computes at once.
    """

    weights_bytes: int
    heads: int
    query_width: int
    key_width: int
    value_width: int
    feed_forward_width: int


@dataclass(frozen=True, slots=True)
class GgufModel:
    """A whole model: all parts of a file that was split.

    Attributes:
        input_bytes: The embedding table, which stays in host RAM.
        output_bytes: What follows the last block. A model that uses its embedding table again as
            output has a second copy of it where the output is computed.
        output_shared: Whether that copy is made of the embedding table in the file.
    """

    layers: tuple[Layer, ...]
    input_bytes: int
    output_bytes: int
    output_shared: bool
    embedding_width: int
    vocabulary: int


def read_model(path: str | Path) -> GgufModel:
    """Read what a model is made of. Blocks for tens of milliseconds.

    Raises:
        danzar.errors.ModelMissing: The file, or a part of it, is not there.
        danzar.errors.ModelRefused: It is no GGUF, is cut or damaged, or holds no model.
    """
    headers = _read_parts(Path(path))
    for header in headers:
        _check_whole(header)
    tensors = [tensor for header in headers for tensor in header.tensors]
    if not tensors:
        raise ModelRefused(f"{headers[0].path.name} holds no weights; name a whole model's file")
    return _describe(_Facts(headers[0]), tensors)


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


class _Facts:
    """Numbers from the metadata, under the architecture's own prefix, or a refusal."""

    def __init__(self, header: GgufHeader) -> None:
        self.header = header
        self._architecture = header.metadata.get("general.architecture")

    def number(self, name: str, default: int | None = None) -> int:
        """A number above 0."""
        value = self._value(name)
        if value is None and default is not None:
            return default
        return self._checked(name, value, 1)

    def per_layer(self, name: str, count: int, default: list[int] | None = None) -> list[int]:
        """A number for each layer; the file has one for all, or a list."""
        value = self._value(name)
        if value is None and default is not None:
            return default
        values = list(value) if isinstance(value, tuple) else [value] * count
        if len(values) < count:
            raise self._refuse(f"{name} has {len(values)} values for {count} layers")
        return [self._checked(name, v, 0) for v in values[:count]]

    def _value(self, name: str) -> Value | None:
        return self.header.metadata.get(f"{self._architecture}.{name}")

    def _checked(self, name: str, value: Value | None, least: int) -> int:
        if value is None:
            raise self._refuse(f"it has no {self._architecture}.{name}")
        if not isinstance(value, int) or not least <= value < _MAX_DIMENSION:
            raise self._refuse(f"{self._architecture}.{name} is {value!r}")
        return value

    def _refuse(self, what: str) -> ModelRefused:
        return ModelRefused(
            f"{self.header.path.name} describes no model that can be estimated: {what}"
        )


def _describe(facts: _Facts, tensors: list[Tensor]) -> GgufModel:
    layer_count = facts.number("block_count")
    if layer_count > _MAX_LAYERS:
        raise ModelRefused(f"{facts.header.path.name} claims {layer_count} layers; it is damaged")
    sizes = _sizes_by_place(tensors)
    input_bytes = sizes.pop("token_embd", 0)
    blocks = [sizes.pop(f"blk.{n}", 0) for n in range(layer_count)]
    has_output = any(t.name == "output.weight" for t in tensors)
    return GgufModel(
        layers=tuple(_layers(facts, blocks)),
        input_bytes=input_bytes,
        output_bytes=sum(sizes.values()) + (0 if has_output else input_bytes),
        output_shared=not has_output,
        embedding_width=facts.number("embedding_length"),
        vocabulary=facts.number("vocab_size", facts.header.lengths.get("tokenizer.ggml.tokens")),
    )


def _sizes_by_place(tensors: list[Tensor]) -> dict[str, int]:
    """Bytes by block (``blk.7``) or by the tensor's own name before its first dot."""
    sizes: dict[str, int] = {}
    for tensor in tensors:
        first, _, rest = tensor.name.partition(".")
        place = f"blk.{rest.partition('.')[0]}" if first == "blk" else first
        sizes[place] = sizes.get(place, 0) + tensor.size_bytes
    return sizes


def _layers(facts: _Facts, blocks: list[int]) -> list[Layer]:
    count = len(blocks)
    heads = facts.per_layer("attention.head_count", count)
    kv_heads = facts.per_layer("attention.head_count_kv", count, heads)
    width = facts.number("embedding_length")
    head_width = width // max(1, *heads)
    key = facts.number("attention.key_length", head_width or 1)
    value = facts.number("attention.value_length", head_width or 1)
    forward = _feed_forward(facts, count, width)
    return [
        Layer(size, heads[n], heads[n] * key, kv_heads[n] * key, kv_heads[n] * value, forward[n])
        for n, size in enumerate(blocks)
    ]


def _feed_forward(facts: _Facts, count: int, width: int) -> list[int]:
    """Per layer; with experts, those that one token uses."""
    dense = facts.per_layer("feed_forward_length", count, [4 * width] * count)
    experts = facts.number("expert_used_count", 1)
    expert = facts.number("expert_feed_forward_length", max(1, *dense))
    return [max(d, experts * expert) if experts > 1 else d for d in dense]
