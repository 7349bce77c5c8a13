"""Vectors of texts and pictures by a CLIP model: of length 1, in one space."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch

from danzar.backends.pictures import to_image
from danzar.errors import BadInput, Cancelled, PromptTooLong
from danzar.workers.contract import Embeddings, Picture

T = TypeVar("T")
_MARKS = 2  # at a text's beginning and end


@dataclass(frozen=True, slots=True)
class Embedder:
    """What makes vectors.

    Attributes:
        max_batch: Texts or pictures that are computed at once.
    """

    model: Any
    preprocess: Callable[..., torch.Tensor]
    tokenizer: Any
    device: torch.device
    max_batch: int


def embed_texts(
    embedder: Embedder, texts: Sequence[str], is_cancelled: Callable[[], bool]
) -> Embeddings:
    """The texts' vectors.

    Raises:
        PromptTooLong: A text has more tokens than the model reads; it would be cut unseen.
        BadInput: There is no text.
        Cancelled: Nobody wants them any more.
    """
    tokens = _count_tokens(embedder.tokenizer, texts)

    def compute(batch: Sequence[str]) -> torch.Tensor:
        ids = embedder.tokenizer(list(batch)).to(embedder.device)
        features: torch.Tensor = embedder.model.encode_text(ids, normalize=True)
        return features

    return Embeddings(_in_batches(embedder, texts, compute, is_cancelled), tokens)


def embed_pictures(
    embedder: Embedder, pictures: Sequence[Picture], is_cancelled: Callable[[], bool]
) -> Embeddings:
    """The pictures' vectors.

    Raises:
        danzar.errors.BadPicture: The data is no picture.
        BadInput: There is no picture.
        Cancelled: Nobody wants them any more.
    """
    dtype = next(embedder.model.parameters()).dtype

    def compute(batch: Sequence[Picture]) -> torch.Tensor:
        tensors = [embedder.preprocess(to_image(picture)) for picture in batch]
        stacked = torch.stack(tensors).to(embedder.device, dtype)
        features: torch.Tensor = embedder.model.encode_image(stacked, normalize=True)
        return features

    return Embeddings(_in_batches(embedder, pictures, compute, is_cancelled))


def _in_batches(
    embedder: Embedder,
    items: Sequence[T],
    compute: Callable[[Sequence[T]], torch.Tensor],
    is_cancelled: Callable[[], bool],
) -> tuple[tuple[float, ...], ...]:
    if not items:
        raise BadInput("There is nothing to make vectors of: send at least one text or picture.")
    vectors: list[tuple[float, ...]] = []
    for batch in _batches(items, embedder.max_batch):
        if is_cancelled():
            raise Cancelled("The request for vectors was stopped.")
        # Half precision leaves a length of 1 by a thousandth only.
        unit = torch.nn.functional.normalize(compute(batch).float(), dim=-1)
        vectors += [tuple(row) for row in unit.tolist()]
    return tuple(vectors)


def _batches(items: Sequence[T], size: int) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _count_tokens(tokenizer: Any, texts: Sequence[str]) -> int:  # noqa: ANN401 - no types
    """Tokens of all texts; refuses one that the tokenizer would cut."""
    limit = int(tokenizer.context_length)
    total = 0
    for number, text in enumerate(texts):
        count = _tokens_of(tokenizer, text)
        if count > limit:
            raise PromptTooLong(
                f"Text {number} has {count} tokens, but the model reads {limit}. Send less text."
            )
        total += count
    return total


def _tokens_of(tokenizer: Any, text: str) -> int:  # noqa: ANN401 - no types
    """Tokens of a text with its marks; open_clip's tokenizers differ in how they tell."""
    encode = getattr(tokenizer, "encode", None)
    if encode is not None:
        return len(encode(text)) + _MARKS
    return len(tokenizer.tokenizer(tokenizer.clean_fn(text))["input_ids"])
