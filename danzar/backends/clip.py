"""How well concepts fit pictures, by open_clip."""

import functools
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
import open_clip  # type: ignore[import-untyped]
import torch

from danzar.backends import clip_embed, torch_device, warm_weights
from danzar.backends.batch_work import measured_batch, timed_batch
from danzar.backends.pictures import to_image
from danzar.backends.settings import read_settings
from danzar.errors import BadInput, ModelMissing, ModelRefused
from danzar.workers.contract import (
    Backend,
    BatchWork,
    EmbedPictures,
    EmbedTexts,
    LoadReport,
    LoadSpec,
    MeasureBatch,
    MeasuredBatch,
    Part,
    Picture,
    Rank,
    RankedBatch,
    RankedConcept,
    Request,
    Result,
    WarmCopy,
)

_CONCEPT_SETS_KEPT: Final = 32
_WARM_UP: Final = ("warm-up",)
_UNREADABLE: Final = (RuntimeError, ValueError, KeyError, OSError, EOFError, pickle.UnpicklingError)


class ClipSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a CLIP model.

    Attributes:
        architecture: Standard name (``ViT-B/32``) where ``path`` is a weights file; a folder in
            open_clip's format says it itself.
        templates: Sentences that a concept is put into; their embeddings are averaged.
        max_batch: Pictures that are computed at once.
        max_concepts: Concepts in one request, at most.
        precision: Of the weights and the computing.
        threads: CPU threads of the process; ``None`` leaves torch's default.
        gpu_memory_fraction: Share of the card that the process may use.
    """

    architecture: str | None = None
    templates: tuple[str, ...] = ("{}",)
    max_batch: int = 16
    max_concepts: int = 256
    precision: Literal["fp32", "fp16"] = "fp32"
    threads: int | None = None
    gpu_memory_fraction: Annotated[float, msgspec.Meta(gt=0, le=1)] | None = None


class ClipBackend:
    """One loaded CLIP. The embeddings of the concept lists in use are computed once."""

    def __init__(
        self,
        spec: LoadSpec,
        settings: ClipSettings,
        model: Any,  # noqa: ANN401 - open_clip has no types
        preprocess: Callable[..., torch.Tensor],
        tokenizer: Callable[[list[str]], torch.Tensor],
    ) -> None:
        self._name = spec.name
        self._device = torch.device(spec.torch_device)
        self._settings = settings
        self._model = model
        self._preprocess = preprocess
        self._tokenizer = tokenizer
        self._text = functools.lru_cache(_CONCEPT_SETS_KEPT)(self._embed_concepts)

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        with torch_device.memory_errors(self._name), torch.inference_mode():
            match request:
                case Rank():
                    answer: Result = self._answer(request, is_cancelled)
                case MeasureBatch(batch):
                    answer = MeasuredBatch(self._measure(batch))
                case EmbedTexts(texts):
                    answer = clip_embed.embed_texts(self._embedder, texts, is_cancelled)
                case EmbedPictures(pictures):
                    answer = clip_embed.embed_pictures(self._embedder, pictures, is_cancelled)
                case _:
                    raise BadInput(f"A CLIP model can't answer {type(request).__name__}.")
        yield answer

    def _answer(self, request: Rank, is_cancelled: Callable[[], bool]) -> RankedBatch:
        concepts = self._check_concepts(request.concepts)
        ranked: list[tuple[RankedConcept, ...]] = []
        work: list[BatchWork] = []
        step = request.at_once or self._settings.max_batch
        for start in range(0, len(request.pictures), step):
            if is_cancelled():
                break
            batch = request.pictures[start : start + step]
            scores, took = timed_batch(
                functools.partial(self._score, batch, concepts),
                batch=len(batch),
                pixels=self._pixels,
                device=self._device,
            )
            ranked += [_rank(concepts, row) for row in scores]
            work.append(took)
        return RankedBatch(tuple(ranked), tuple(work))

    def _measure(self, count: int) -> BatchWork:
        return measured_batch(
            functools.partial(self._score, _blanks(count), _WARM_UP),
            batch=count,
            pixels=self._pixels,
            device=self._device,
        )

    @property
    def _embedder(self) -> clip_embed.Embedder:
        return clip_embed.Embedder(
            self._model, self._preprocess, self._tokenizer, self._device, self._settings.max_batch
        )

    @property
    def _pixels(self) -> int:
        size = self._model.visual.image_size
        height, width = (size, size) if isinstance(size, int) else size
        return int(height * width)

    def close(self) -> None:
        """See ``Backend.close``."""
        self._text.cache_clear()
        self._model = None
        torch_device.give_back()

    def freeze(self, address: str, limit_bytes: int) -> WarmCopy:
        """See ``Freezable.freeze``."""
        parts = (self._model, self._preprocess, self._tokenizer)
        return warm_weights.freeze(parts, address, limit_bytes)

    def warm_up(self) -> None:
        """Compute once, so that loading shows the memory it takes and the first answer is quick.

        On a card a whole batch: the most that it will ever take is measured at the load.
        """
        count = 1 if self._device.type == "cpu" else self._settings.max_batch
        for _ in self.run(Rank(_blanks(count), _WARM_UP), bool):
            pass

    def _check_concepts(self, concepts: tuple[str, ...]) -> tuple[str, ...]:
        unique = tuple(dict.fromkeys(concepts))
        if not unique or len(unique) > self._settings.max_concepts:
            raise BadInput(
                f"{len(unique)} concepts were asked for; 1 to {self._settings.max_concepts} can be."
            )
        return unique

    def _score(self, pictures: tuple[Picture, ...], concepts: tuple[str, ...]) -> list[list[float]]:
        text = self._text(concepts)
        tensors = [self._preprocess(to_image(picture)) for picture in pictures]
        batch = torch.stack(tensors).to(self._device, text.dtype)
        features = self._model.encode_image(batch, normalize=True)
        logits = self._model.logit_scale.exp() * features @ text.T
        scores: list[list[float]] = logits.float().softmax(dim=-1).tolist()
        return scores

    def _embed_concepts(self, concepts: tuple[str, ...]) -> torch.Tensor:
        """One unit vector per concept, ``(concepts, width)``."""
        sentences = [
            template.format(concept)
            for concept in concepts
            for template in self._settings.templates
        ]
        tokens = self._tokenizer(sentences).to(self._device)
        features = self._model.encode_text(tokens, normalize=True)
        per_concept = features.reshape(len(concepts), len(self._settings.templates), -1).mean(dim=1)
        return torch.nn.functional.normalize(per_concept, dim=-1)


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    settings = read_settings(spec, ClipSettings)
    device = torch_device.prepare(spec, settings.threads, settings.gpu_memory_fraction)
    name, weights = _find_weights(spec, settings)
    with torch_device.memory_errors(spec.name):
        kept = warm_weights.thaw_or_none(spec.warm, device)
    parts = _from_file(spec, settings, device) if kept is None else kept
    backend = ClipBackend(spec, settings, *parts)
    backend.warm_up()
    model = parts[0]
    parameters = sum(each.numel() for each in model.parameters())
    architecture = "its own" if weights is None else name
    details = {"architecture": architecture, "parameters": f"{parameters / 1e6:.1f} million"}
    return backend, LoadReport(torch_device.weights_bytes(model), details, warm=kept is not None)


def prepare() -> None:
    """Importing this module has imported all that a load needs."""
    torch_device.begin_computing()


def _from_file(
    spec: LoadSpec, settings: ClipSettings, device: torch.device
) -> tuple[Any, Callable[..., torch.Tensor], Callable[[list[str]], torch.Tensor]]:
    """The model, what makes a picture its input, and what makes texts its input."""
    name, weights = _find_weights(spec, settings)
    try:
        with torch_device.memory_errors(spec.name):
            # weights_only (its default) keeps pickles from running code.
            model, preprocess = open_clip.create_model_from_pretrained(
                name, pretrained=weights, device=device, precision=settings.precision
            )
    except _UNREADABLE as exc:
        raise ModelRefused(f"{spec.name}: open_clip can't load {spec.path}: {exc}") from exc
    model.eval()
    return model, preprocess, open_clip.get_tokenizer(name)


def _find_weights(spec: LoadSpec, settings: ClipSettings) -> tuple[str, str | None]:
    """open_clip's name for the model, and its weights file."""
    path = Path(spec.path or "")
    if spec.path is None or not path.exists():
        raise ModelMissing(f"{spec.name}: there is no {path}. Try: danzar models pull")
    if path.is_dir():
        return f"local-dir:{path}", None
    name = (settings.architecture or "").replace("/", "-")
    if name not in open_clip.list_models():
        raise ModelRefused(f"{spec.name}: open_clip knows no architecture {name!r}.")
    return name, str(path)


def _blanks(count: int) -> tuple[Picture, ...]:
    return (Picture(8, 8, "rgb", bytes(3 * 8 * 8)),) * count


def _rank(concepts: tuple[str, ...], scores: list[float]) -> tuple[RankedConcept, ...]:
    pairs = zip(concepts, scores, strict=True)
    best_first = sorted(pairs, key=lambda pair: -pair[1])
    return tuple(RankedConcept(concept, score) for concept, score in best_first)
