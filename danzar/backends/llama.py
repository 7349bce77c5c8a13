"""Chat models in GGUF files, by llama.cpp."""

import contextlib
import ctypes
import io
import os
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import llama_cpp
import msgspec
import psutil

from danzar.backends.llama_prompt import PromptWriter
from danzar.backends.settings import read_settings
from danzar.backends.streaming import TextStream
from danzar.errors import BackendFailed, BadInput, ModelMissing, ModelRefused, OutOfMemory
from danzar.workers.contract import (
    Backend,
    CountTokens,
    Generate,
    Generated,
    LoadReport,
    LoadSpec,
    Part,
    Request,
    Result,
    TextDelta,
    TokenCounts,
)
from danzar.workers.protocol import says_out_of_memory

# Later pieces are gathered: each message costs the computing threads a little.
_PAUSE_S: Final = 0.03
# A token that takes longer than this is checked for cancellation while it is computed.
_SLOW_TOKEN_S: Final = 0.05
_LOG_LINES: Final = 40
_PIECE_BYTES: Final = 256
_GGUF_MAGIC: Final = b"GGUF"
# What llama_decode returns when a buffer could not be had.
_DECODE_NO_MEMORY: Final = "llama_decode returned -2"
_TELLING: Final = re.compile("error|fail|insufficient|unable|requires", re.IGNORECASE)
_CACHE_TYPES: Final = {
    "f32": llama_cpp.GGML_TYPE_F32,
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q5_1": llama_cpp.GGML_TYPE_Q5_1,
    "q5_0": llama_cpp.GGML_TYPE_Q5_0,
    "q4_1": llama_cpp.GGML_TYPE_Q4_1,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
    "iq4_nl": llama_cpp.GGML_TYPE_IQ4_NL,
}
_UNQUANTISED: Final = ("f32", "f16")
CacheType = Literal["f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
FinishReason = Literal["stop", "length", "cancelled"]


class LlamaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a GGUF model.

    Attributes:
        n_ctx: Tokens of context, prompt and answer together; 0 is what the model was trained for.
        n_batch: Tokens of a prompt that are evaluated at once.
        n_threads: CPU threads; ``None`` is one per physical core for prompts, and one less for
            tokens, so that the bot's own work does not stall all of them.
        type_k: Precision of the cached keys; below f16 saves memory.
        type_v: Precision of the cached values; below f16 needs ``flash_attn``.
        flash_attn: Use flash attention; 1 and 0 mean the same as true and false.
        use_mmap: Map the file instead of reading it.
    """

    n_ctx: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 4096
    n_batch: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 512
    n_threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    type_k: CacheType = "f16"
    type_v: CacheType = "f16"
    flash_attn: bool | Literal[0, 1] = False
    use_mmap: bool = True


class LlamaBackend:
    """One GGUF model with its context; keeps the last conversation's cache for the next turn."""

    def __init__(self, llama: llama_cpp.Llama, prompts: PromptWriter) -> None:
        self._llama = llama
        self._prompts = prompts
        self._vocab = llama_cpp.llama_model_get_vocab(llama.model)
        self._piece = ctypes.create_string_buffer(_PIECE_BYTES)
        self._abort = _AbortSwitch(llama)

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        match request:
            case Generate():
                yield from self._generate(request, is_cancelled)
            case CountTokens(texts):
                yield TokenCounts(tuple(len(self._tokenize(text, special=False)) for text in texts))
            case _:
                raise BadInput(f"A chat model can't answer {type(request).__name__}.")

    def close(self) -> None:
        """See ``Backend.close``."""
        self._abort.disarm()
        self._llama.close()

    def _generate(
        self, request: Generate, is_cancelled: Callable[[], bool]
    ) -> Iterator[Part | Result]:
        prompt = self._prompt_tokens(request)
        limit = max(1, min(request.max_tokens, self._llama.n_ctx() - len(prompt)))
        stream = TextStream(request.stop, _PAUSE_S)
        count = 0
        for token in self._tokens(request, prompt, is_cancelled):
            count += 1
            text = stream.add(self._token_bytes(token), time.monotonic())
            if text:
                yield TextDelta(text)
            if stream.stopped or count >= limit:
                reason: FinishReason = "stop" if stream.stopped else "length"
                break
        else:
            reason = "cancelled" if is_cancelled() else "stop"
        rest = stream.finish()
        if rest:
            yield TextDelta(rest)
        yield Generated(reason, len(prompt), count)

    def _prompt_tokens(self, request: Generate) -> list[int]:
        prompt, adds_bos = self._prompts.write(request.messages)
        tokens = self._llama.tokenize(prompt.encode(), add_bos=adds_bos, special=True)
        room = self._llama.n_ctx()
        if len(tokens) >= room:
            raise BadInput(
                f"The conversation has {len(tokens)} tokens, but the model's context holds {room}. "
                "Send less text, or raise n_ctx."
            )
        return tokens

    def _tokens(
        self, request: Generate, prompt: list[int], is_cancelled: Callable[[], bool]
    ) -> Iterator[int]:
        """The answer's tokens until the model ends it or the request is cancelled."""
        self._llama.set_seed(secrets.randbits(31) if request.seed is None else request.seed)
        self._abort.arm(is_cancelled)
        try:
            if self._evaluate(prompt, is_cancelled):
                yield from self._continue(request, prompt, is_cancelled)
        except RuntimeError as exc:
            if _DECODE_NO_MEMORY in str(exc):
                raise OutOfMemory(f"llama.cpp found no memory to go on: {exc}") from exc
            if not is_cancelled():
                raise BackendFailed(f"llama.cpp could not go on: {exc}") from exc
        finally:
            self._abort.disarm()

    def _continue(
        self, request: Generate, prompt: list[int], is_cancelled: Callable[[], bool]
    ) -> Iterator[int]:
        tokens = self._llama.generate(
            prompt,
            temp=request.temperature,
            top_p=request.top_p,
            repeat_penalty=request.repeat_penalty,
        )
        asked_s = time.monotonic()
        for number, token in enumerate(tokens):
            if is_cancelled() or llama_cpp.llama_vocab_is_eog(self._vocab, token):
                return
            yield token
            # The first token comes with the prompt; the second one shows how fast they are.
            if number == 1 and time.monotonic() - asked_s < _SLOW_TOKEN_S:
                self._abort.disarm()
            asked_s = time.monotonic()

    def _evaluate(self, prompt: list[int], is_cancelled: Callable[[], bool]) -> bool:
        """Compute the prompt, except what the cache has of it; False where it was cancelled.

        ``Llama.generate`` would do it too, but without looking up between batches.
        """
        llama = self._llama
        kept = _common_prefix(llama.input_ids[: llama.n_tokens].tolist(), prompt[:-1])
        memory = llama_cpp.llama_get_memory(llama.ctx)
        # Recurrent and sliding-window caches can't always be cut: then all is computed again.
        if kept < llama.n_tokens and not llama_cpp.llama_memory_seq_rm(memory, -1, kept, -1):
            llama_cpp.llama_memory_clear(memory, True)
            kept = 0
        llama.n_tokens = kept
        for start in range(kept, len(prompt), llama.n_batch):
            if is_cancelled():
                return False
            llama.eval(prompt[start : start + llama.n_batch])
        return True

    def _tokenize(self, text: str, *, special: bool) -> list[int]:
        return self._llama.tokenize(text.encode(), add_bos=False, special=special)

    def _token_bytes(self, token: int) -> bytes:
        length = llama_cpp.llama_token_to_piece(
            self._vocab, token, self._piece, _PIECE_BYTES, 0, False
        )
        return self._piece.raw[:length] if length > 0 else b""


class _AbortSwitch:
    """Lets llama.cpp ask, between two operations of the CPU, whether to go on.

    Only while needed: the question costs some 600 calls into Python a token.
    """

    def __init__(self, llama: llama_cpp.Llama) -> None:
        self._llama = llama
        self._is_cancelled: Callable[[], bool] = bool
        self._ask = llama_cpp.ggml_abort_callback(lambda _: self._is_cancelled())
        self._nothing = llama_cpp.ggml_abort_callback()

    def arm(self, is_cancelled: Callable[[], bool]) -> None:
        """From now on a cancelled request ends ``llama_decode``."""
        self._is_cancelled = is_cancelled
        llama_cpp.llama_set_abort_callback(self._llama.ctx, self._ask, None)

    def disarm(self) -> None:
        """Compute without asking."""
        llama_cpp.llama_set_abort_callback(self._llama.ctx, self._nothing, None)


class _LogTail:
    """The last lines that llama.cpp logged: silent unless loading fails."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_LOG_LINES)
        self._callback = llama_cpp.llama_log_callback(self._note)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _note(self, _level: int, text: bytes, _data: Any) -> None:  # noqa: ANN401
        self._lines.append(text.decode(errors="replace"))

    def clear(self) -> None:
        self._lines.clear()

    @property
    def text(self) -> str:
        return "".join(self._lines)


_log_tail: _LogTail | None = None
_log_lock = threading.Lock()


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    settings = read_settings(spec, LlamaSettings)
    _check_file(spec)
    if settings.type_v not in _UNQUANTISED and not settings.flash_attn:
        raise ModelRefused(f"{spec.name}: type_v {settings.type_v} needs flash_attn: true.")
    llama = _open(spec, settings, _keep_log())
    prompts = PromptWriter.of(llama)
    details = {
        "model": llama.metadata.get("general.name", spec.name),
        "context": f"{llama.n_ctx()} tokens",
        "threads": str(llama.n_threads),
        "gpu_layers": ":".join(map(str, spec.layer_split)) or str(spec.gpu_layers),
        "cache": f"{settings.type_k}, {settings.type_v}",
        "template": prompts.origin,
    }
    weights_bytes = llama_cpp.llama_model_size(llama.model)
    return LlamaBackend(llama, prompts), LoadReport(weights_bytes, details)


def _keep_log() -> _LogTail:
    global _log_tail  # llama.cpp has one log callback per process
    with _log_lock:
        _log_tail = _log_tail or _LogTail()
        _log_tail.clear()
        return _log_tail


def _check_file(spec: LoadSpec) -> None:
    path = Path(spec.path or "")
    if not path.is_file():
        raise ModelMissing(f"{spec.name}: there is no file {path}.")
    with path.open("rb") as file:
        if file.read(len(_GGUF_MAGIC)) != _GGUF_MAGIC:
            raise ModelRefused(f"{spec.name}: {path} is no GGUF file.")


def _open(spec: LoadSpec, settings: LlamaSettings, log_tail: _LogTail) -> llama_cpp.Llama:
    cores = _physical_cores()
    try:
        # verbose, because otherwise the binding points stderr at nothing while it loads, and the
        # reason of a native crash is lost; what it prints itself is not wanted.
        with contextlib.redirect_stderr(io.StringIO()):
            return llama_cpp.Llama(
                spec.path or "",
                n_gpu_layers=spec.gpu_layers,
                tensor_split=list(spec.layer_split) or None,
                n_ctx=settings.n_ctx,
                n_batch=settings.n_batch,
                n_threads=settings.n_threads or max(1, cores - 1),
                n_threads_batch=settings.n_threads or cores,
                type_k=_CACHE_TYPES[settings.type_k],
                type_v=_CACHE_TYPES[settings.type_v],
                flash_attn=bool(settings.flash_attn),
                use_mmap=settings.use_mmap,
                verbose=True,
            )
    except (ValueError, RuntimeError) as exc:
        raise _explain_load_error(spec, exc, log_tail.text) from exc


def _explain_load_error(spec: LoadSpec, error: Exception, log_text: str) -> Exception:
    lines = [line.strip() for line in log_text.splitlines() if _TELLING.search(line)]
    reason = lines[0] if lines else str(error)
    if says_out_of_memory(log_text):
        return OutOfMemory(f"{spec.name}: no memory left while loading ({reason}).")
    if "context" in str(error):
        return ModelRefused(f"{spec.name}: llama.cpp refuses the settings ({reason}).")
    return ModelRefused(
        f"{spec.name}: llama.cpp can't load {Path(spec.path or '').name}; the file is damaged, cut "
        f"off or of an unknown kind ({reason}). Fetch it again, or run: danzar models verify"
    )


def _physical_cores() -> int:
    return psutil.cpu_count(logical=False) or os.cpu_count() or 1


def _common_prefix(left: Sequence[int], right: Sequence[int]) -> int:
    length = 0
    for mine, other in zip(left, right, strict=False):
        if mine != other:
            break
        length += 1
    return length
