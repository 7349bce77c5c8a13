"""One GGUF model and its context in llama.cpp: opened, asked and closed.

The low-level API, because llama-cpp-python's ``Llama`` knows one conversation only and copies the
odds of every word to Python for each token.
"""

import ctypes
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import llama_cpp
import psutil

from danzar.backends.llama_log import (
    LogTail,
    explain_context_error,
    explain_model_error,
    keep_log,
)
from danzar.backends.llama_settings import CACHE_TYPES, LlamaSettings
from danzar.errors import BackendFailed, ModelRefused
from danzar.workers.contract import LoadSpec

_PIECE_BYTES: Final = 256
_METADATA_BYTES: Final = 1 << 10
_MAX_UBATCH: Final = 512
_MAX_CONTEXT: Final = 1 << 31
# So few that one less is half of them.
_FEW_CORES: Final = 2


@dataclass(frozen=True, slots=True)
class Threads:
    """CPU threads for single tokens, and for prompts and several conversations at once."""

    single: int
    batch: int


class NativeModel:
    """Weights and context. Words can be asked by any thread; the context belongs to one.

    Attributes:
        model: llama.cpp's handle of the weights.
        context: Its handle of the context, with the KV cache of all sequences.
        vocab: Its handle of the words.
        n_ctx: Tokens that each sequence holds.
        n_seq: How many sequences there are.
        n_batch: Tokens that one ``llama_decode`` takes.
        threads: What computes.
    """

    def __init__(self, model: Any, context: Any, threads: Threads) -> None:  # noqa: ANN401
        self.model = model
        self.context = context
        self.vocab = llama_cpp.llama_model_get_vocab(model)
        self.n_ctx: int = llama_cpp.llama_n_ctx_seq(context)
        self.n_seq: int = llama_cpp.llama_n_seq_max(context)
        self.n_batch: int = llama_cpp.llama_n_batch(context)
        self.threads = threads
        self._piece = ctypes.create_string_buffer(_PIECE_BYTES)

    def close(self) -> None:
        """Give everything back; nothing may be asked after it."""
        if self.context is not None:
            llama_cpp.llama_free(self.context)
            llama_cpp.llama_model_free(self.model)
            self.context = self.model = self.vocab = None

    def tokenize(self, text: str, *, add_bos: bool, special: bool) -> list[int]:
        """The text's tokens; ``special``: control tokens' spellings count as such.

        Raises:
            BackendFailed: llama.cpp can't.
        """
        data = text.encode()
        room = len(data) + 2
        tokens = (llama_cpp.llama_token * room)()
        count = llama_cpp.llama_tokenize(
            self.vocab, data, len(data), tokens, room, add_bos, special
        )
        if count < 0:
            raise BackendFailed(f"llama.cpp can't make tokens of a text of {len(data)} bytes.")
        return tokens[:count]

    def piece(self, token: int) -> bytes:
        """A token's bytes, which may be a part of a character. Only for the context's thread."""
        length = llama_cpp.llama_token_to_piece(
            self.vocab, token, self._piece, _PIECE_BYTES, 0, False
        )
        return self._piece.raw[:length] if length > 0 else b""

    def metadata(self, key: str) -> str | None:
        """A text or number from the file; ``None`` where it has none of that name."""
        name = key.encode()
        buffer = ctypes.create_string_buffer(_METADATA_BYTES)
        length = llama_cpp.llama_model_meta_val_str(self.model, name, buffer, len(buffer))
        if length >= len(buffer):
            buffer = ctypes.create_string_buffer(length + 1)
            length = llama_cpp.llama_model_meta_val_str(self.model, name, buffer, len(buffer))
        return buffer.value.decode(errors="replace") if length >= 0 else None

    @property
    def eos_token(self) -> int:
        """The token that ends a text; -1 where there is none, as for the next one."""
        token: int = llama_cpp.llama_vocab_eos(self.vocab)
        return token

    @property
    def bos_token(self) -> int:
        """The token that begins a text."""
        token: int = llama_cpp.llama_vocab_bos(self.vocab)
        return token

    def token_text(self, token: int) -> str:
        """How a token is spelt; empty for -1."""
        if token < 0:
            return ""
        text: bytes | None = llama_cpp.llama_vocab_get_text(self.vocab, token)
        return (text or b"").decode(errors="replace")

    def control_tokens(self) -> list[str]:
        """The spellings of all tokens that steer the model."""
        vocab = self.vocab
        return [
            self.token_text(token)
            for token in range(llama_cpp.llama_vocab_n_tokens(vocab))
            if llama_cpp.llama_vocab_is_control(vocab, token)
            or llama_cpp.llama_vocab_is_eog(vocab, token)
        ]

    def ending_tokens(self) -> frozenset[int]:
        """The tokens after which an answer is over."""
        count = llama_cpp.llama_vocab_n_tokens(self.vocab)
        return frozenset(t for t in range(count) if llama_cpp.llama_vocab_is_eog(self.vocab, t))


def open_native(spec: LoadSpec, settings: LlamaSettings) -> NativeModel:
    """Load the weights and make a context with ``spec.slots`` sequences.

    Raises:
        ModelRefused: The file or the settings can't be used.
        OutOfMemory: There is no room.
    """
    log_tail = keep_log()
    model = _open_model(spec, settings, log_tail)
    try:
        threads = _threads(settings)
        context = _open_context(spec, settings, model, threads, log_tail)
    except BaseException:
        llama_cpp.llama_model_free(model)
        raise
    return NativeModel(model, context, threads)


def _open_model(spec: LoadSpec, settings: LlamaSettings, log_tail: LogTail) -> Any:  # noqa: ANN401
    llama_cpp.llama_backend_init()
    params = llama_cpp.llama_model_default_params()
    # -1 means all to Danzar; llama.cpp takes any number above the layers for it.
    params.n_gpu_layers = spec.gpu_layers if spec.gpu_layers >= 0 else (1 << 31) - 1
    params.use_mmap = settings.use_mmap
    if spec.layer_split:
        params.tensor_split = _split(spec.layer_split)
    model = llama_cpp.llama_model_load_from_file((spec.path or "").encode(), params)
    if not model:
        raise explain_model_error(spec, log_tail.text)
    return model


def _split(parts: Sequence[int]) -> Any:  # noqa: ANN401
    floats = (ctypes.c_float * llama_cpp.llama_max_devices())()
    for number, part in enumerate(parts[: len(floats)]):
        floats[number] = part
    return ctypes.cast(floats, ctypes.POINTER(ctypes.c_float))


def _open_context(
    spec: LoadSpec,
    settings: LlamaSettings,
    model: Any,  # noqa: ANN401
    threads: Threads,
    log_tail: LogTail,
) -> Any:  # noqa: ANN401
    params = context_params(settings, llama_cpp.llama_model_n_ctx_train(model), spec.slots)
    params.n_threads, params.n_threads_batch = threads.single, threads.batch
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        raise explain_context_error(spec, log_tail.text)
    return context


def context_params(settings: LlamaSettings, trained_context: int, slots: int) -> Any:  # noqa: ANN401
    """llama.cpp's parameters of a context for ``slots`` conversations of ``n_ctx`` tokens each.

    Raises:
        ModelRefused: They are more tokens together than llama.cpp can count.
    """
    n_ctx = settings.n_ctx or trained_context
    if n_ctx * slots >= _MAX_CONTEXT:
        raise ModelRefused(f"n_ctx {n_ctx} for each of {slots} conversations is too much")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = n_ctx * slots
    params.n_seq_max = slots
    params.kv_unified = False
    params.n_batch = max(slots, min(settings.n_batch, n_ctx))
    params.n_ubatch = min(params.n_batch, _MAX_UBATCH)
    # One answer's next word for each: without it there is room for 512 times all words.
    params.n_outputs_max = slots
    params.type_k, params.type_v = CACHE_TYPES[settings.type_k], CACHE_TYPES[settings.type_v]
    params.flash_attn_type = int(bool(settings.flash_attn))
    # Layers with a window keep all tokens: without them a conversation can't be cut back.
    params.swa_full = True
    params.no_perf = True
    return params


def _threads(settings: LlamaSettings) -> Threads:
    if settings.n_threads is not None:
        return Threads(settings.n_threads, settings.n_threads)
    cores = psutil.cpu_count(logical=False) or os.cpu_count() or 1
    return Threads(cores if cores <= _FEW_CORES else cores - 1, cores)
