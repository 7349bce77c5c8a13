"""The settings of a GGUF model."""

from typing import Annotated, Final, Literal

import llama_cpp
import msgspec

from danzar.errors import ModelRefused
from danzar.units import parse_size

CacheType = Literal["f32", "f16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
CACHE_TYPES: Final[dict[CacheType, int]] = {
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


class LlamaSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Settings of a GGUF model.

    Attributes:
        n_ctx: Tokens of context of each conversation, prompt and answer together; 0 is what the
            model was trained for.
        n_batch: Tokens of a prompt that are evaluated at once.
        n_threads: CPU threads; ``None`` is one per physical core for prompts and, where there are
            more than two, one less for single tokens, so that the bot's own work does not stall
            all of them.
        type_k: Precision of the cached keys; below f16 saves memory.
        type_v: Precision of the cached values; below f16 needs ``flash_attn``.
        flash_attn: Use flash attention; 1 and 0 mean the same as true and false.
        use_mmap: Map the file instead of reading it.
        prompt_cache: Host RAM for conversations that wait while others have the model's own
            cache, as bytes or a size such as ``256 MiB``; 0 keeps none.
    """

    n_ctx: Annotated[int, msgspec.Meta(ge=0, le=1_048_576)] = 4096
    n_batch: Annotated[int, msgspec.Meta(ge=1, le=65_536)] = 512
    n_threads: Annotated[int, msgspec.Meta(ge=1, le=1024)] | None = None
    type_k: CacheType = "f16"
    type_v: CacheType = "f16"
    flash_attn: bool | Literal[0, 1] = False
    use_mmap: bool = True
    prompt_cache: Annotated[int, msgspec.Meta(ge=0)] | str = 0


def prompt_cache_bytes(name: str, settings: LlamaSettings) -> int:
    """Bytes of host RAM for waiting conversations.

    Raises:
        ModelRefused: It is no size.
    """
    try:
        return parse_size(settings.prompt_cache)
    except ValueError as exc:
        raise ModelRefused(f"{name}: settings: prompt_cache: {exc}") from exc


def check_types(name: str, settings: LlamaSettings) -> None:
    """Refuse what llama.cpp can't combine.

    Raises:
        ModelRefused: The values' precision needs flash attention.
    """
    if settings.type_v not in _UNQUANTISED and not settings.flash_attn:
        raise ModelRefused(f"{name}: type_v {settings.type_v} needs flash_attn: true.")
