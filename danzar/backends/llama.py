"""Chat models in GGUF files, by llama.cpp: several conversations at once, each with its cache."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import llama_cpp

from danzar.backends.llama_answer import Answer
from danzar.backends.llama_engine import Engine
from danzar.backends.llama_memory import KvMemory
from danzar.backends.llama_native import NativeModel, open_native
from danzar.backends.llama_prompt import PromptWriter
from danzar.backends.llama_sampling import Sampler
from danzar.backends.llama_settings import LlamaSettings, check_types, prompt_cache_bytes
from danzar.backends.settings import read_settings
from danzar.errors import BadInput, ModelMissing, ModelRefused, PromptTooLong
from danzar.units import format_size
from danzar.workers.contract import (
    Backend,
    CountTokens,
    Generate,
    LoadReport,
    LoadSpec,
    Part,
    Request,
    Result,
    TokenCounts,
)

__all__ = ["LlamaBackend", "LlamaSettings", "load"]

_GGUF_MAGIC: Final = b"GGUF"


class LlamaBackend:
    """One GGUF model; its threads write prompts, and the engine computes all of them together."""

    def __init__(self, native: NativeModel, prompts: PromptWriter, engine: Engine) -> None:
        """Answer with what ``load`` made; all of it is closed with the backend."""
        self._native = native
        self._prompts = prompts
        self._engine = engine

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        match request:
            case Generate():
                yield from self._generate(request, is_cancelled)
            case CountTokens(texts):
                yield TokenCounts(tuple(map(self._count, texts)))
            case _:
                raise BadInput(f"A chat model can't answer {type(request).__name__}.")

    @property
    def cached_bytes(self) -> int:
        """See ``Caching.cached_bytes``."""
        return self._engine.cached_bytes

    def close(self) -> None:
        """See ``Backend.close``."""
        self._engine.close()
        self._native.close()

    def _generate(
        self, request: Generate, is_cancelled: Callable[[], bool]
    ) -> Iterator[Part | Result]:
        prompt = self._prompt_tokens(request)
        limit = max(1, min(request.max_tokens, self._native.n_ctx - len(prompt)))
        sampler = Sampler(self._native, request)
        answer = Answer(request, prompt, limit, sampler, is_cancelled)
        self._engine.submit(answer)
        return answer.items()

    def _prompt_tokens(self, request: Generate) -> list[int]:
        if request.raw:
            text = "".join(message.content for message in request.messages)
            tokens = self._native.tokenize(text, add_bos=True, special=False)
        else:
            text, adds_bos = self._prompts.write(request.messages)
            tokens = self._native.tokenize(text, add_bos=adds_bos, special=True)
        room = self._native.n_ctx
        if len(tokens) >= room:
            raise PromptTooLong(
                f"The conversation has {len(tokens)} tokens, but the model's context holds {room}. "
                "Send less text, or raise n_ctx."
            )
        return tokens

    def _count(self, text: str) -> int:
        return len(self._native.tokenize(text, add_bos=False, special=False))


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    settings = read_settings(spec, LlamaSettings)
    _check_file(spec)
    check_types(spec.name, settings)
    store_bytes = prompt_cache_bytes(spec.name, settings)
    native = open_native(spec, settings)
    prompts = PromptWriter.of(native)
    details = {
        "model": native.metadata("general.name") or spec.name,
        "context": f"{native.n_ctx} tokens",
        "conversations": f"{native.n_seq} at once, {format_size(store_bytes)} for others",
        "threads": f"{native.threads.single}, {native.threads.batch} for several tokens",
        "gpu_layers": ":".join(map(str, spec.layer_split)) or str(spec.gpu_layers),
        "cache": f"{settings.type_k}, {settings.type_v}",
        "template": prompts.origin,
    }
    weights_bytes = llama_cpp.llama_model_size(native.model)
    engine = Engine(native, KvMemory(native, store_bytes))
    return LlamaBackend(native, prompts, engine), LoadReport(weights_bytes, details)


def _check_file(spec: LoadSpec) -> None:
    path = Path(spec.path or "")
    if not path.is_file():
        raise ModelMissing(f"{spec.name}: there is no file {path}.")
    with path.open("rb") as file:
        if file.read(len(_GGUF_MAGIC)) != _GGUF_MAGIC:
            raise ModelRefused(f"{spec.name}: {path} is no GGUF file.")
