"""Messages between the bot's process and a worker: msgpack, tagged, checked when decoded."""

from typing import Any

import msgspec

from danzar import errors
from danzar.workers.contract import (
    LoadReport,
    LoadSpec,
    Part,
    Request,
    Result,
    Struct,
    WarmCopy,
)


class Load(Struct, frozen=True, tag="load"):
    """Load a model; answered by ``Loaded`` or ``LoadFailed``."""

    id: int
    spec: LoadSpec


class Unload(Struct, frozen=True, tag="unload"):
    """Close a model; answered by ``Unloaded`` even where it is not loaded."""

    id: int
    model: str


class Run(Struct, frozen=True, tag="run"):
    """Answer a request; ends with ``Done`` or ``Failed``.

    Attributes:
        origin: What the log calls the request that this is for.
    """

    id: int
    model: str
    request: Request
    origin: str | None = None


class Cancel(Struct, frozen=True, tag="cancel"):
    """End a request early; it still ends with ``Done`` or ``Failed``."""

    id: int


class FrameTaken(Struct, frozen=True, tag="frame_taken"):
    """The consumer took a frame: one more may be sent. Keeps slow consumers' memory bounded."""

    id: int


class Trim(Struct, frozen=True, tag="trim"):
    """Give back memory that nothing uses; answered by ``Trimmed``.

    Attributes:
        aggressive: Several collections, and the C library's free memory too.
    """

    id: int
    aggressive: bool = False


class Keep(Struct, frozen=True, tag="keep"):
    """Leave a model's copy in host RAM; answered by ``Kept`` or ``Failed``. The model stays."""

    id: int
    model: str
    address: str
    limit_bytes: int


class Prepare(Struct, frozen=True, tag="prepare"):
    """Import what these backends need, and load nothing; answered by ``Prepared`` or ``Failed``."""

    id: int
    backends: tuple[str, ...]


class Shutdown(Struct, frozen=True, tag="shutdown"):
    """Close all models and end."""


class Ready(Struct, frozen=True, tag="ready"):
    """First message of a worker."""

    pid: int
    engine: str


class Loaded(Struct, frozen=True, tag="loaded"):
    """The model can be asked."""

    id: int
    report: LoadReport


class LoadFailed(Struct, frozen=True, tag="load_failed"):
    """The model could not be loaded; nothing of it is kept."""

    id: int
    kind: str
    message: str


class Unloaded(Struct, frozen=True, tag="unloaded"):
    """The model is closed."""

    id: int


class PartMessage(Struct, frozen=True, tag="part"):
    """One part of a running request."""

    id: int
    part: Part


class Done(Struct, frozen=True, tag="done"):
    """A request's result, and the seconds from its start in the worker to its end."""

    id: int
    result: Result
    seconds: float


class Failed(Struct, frozen=True, tag="failed"):
    """A request's end by an error."""

    id: int
    kind: str
    message: str


class Kept(Struct, frozen=True, tag="kept"):
    """A model's copy is in host RAM."""

    id: int
    copy: WarmCopy
    seconds: float


class Prepared(Struct, frozen=True, tag="prepared"):
    """A load will not have to wait for imports."""

    id: int
    seconds: float


class Trimmed(Struct, frozen=True, tag="trimmed"):
    """What giving back changed. ``None``: torch holds nothing on a card.

    Attributes:
        collected: Objects that the garbage collector found.
    """

    id: int
    collected: int
    rss_before_bytes: int
    rss_after_bytes: int
    reserved_before_bytes: int | None
    reserved_after_bytes: int | None


class Allocator(Struct, frozen=True):
    """torch's allocator on the worker's cards, as ``torch.cuda.memory_stats`` counts.

    Attributes:
        allocated_bytes: Held by tensors.
        reserved_bytes: Taken from the driver.
        inactive_split_bytes: Of these, free parts of blocks that are in use otherwise: emptying the
            cache can't give them back.
        alloc_retries: How often memory was found only after the cache was emptied.
    """

    allocated_bytes: int
    reserved_bytes: int
    inactive_split_bytes: int
    alloc_retries: int


class Busy(Struct, frozen=True):
    """A request that runs. ``progress`` grows whenever its backend shows a sign of computing."""

    id: int
    progress: int


class Heartbeat(Struct, frozen=True, tag="heartbeat"):
    """A sign of life. ``None`` is unknown (no torch, or no card in use).

    Attributes:
        caches: Bytes that models keep in host RAM for requests that may come, by model.
    """

    rss_bytes: int
    allocator: Allocator | None
    busy: tuple[Busy, ...]
    caches: dict[str, int]


ToWorker = Load | Unload | Run | Cancel | FrameTaken | Trim | Keep | Prepare | Shutdown
_Replies = Loaded | LoadFailed | Unloaded | PartMessage | Done | Failed | Trimmed | Kept | Prepared
FromWorker = Ready | Heartbeat | _Replies

# The errors that may cross the boundary as themselves; all others arrive as BackendFailed.
_KINDS: dict[str, type[errors.DanzarError]] = {
    kind.__name__: kind
    for kind in (
        errors.ModelMissing,
        errors.ModelRefused,
        errors.OutOfMemory,
        errors.BackendFailed,
        errors.Cancelled,
        errors.BadInput,
        errors.PromptTooLong,
        errors.BadPicture,
        errors.BadVideo,
        errors.BadUrl,
    )
}
# How memory exhaustion reads in native text: CUDA, llama.cpp, onnxruntime, C++, cuBLAS and cuDNN.
_OUT_OF_MEMORY = (
    "out of memory",
    "failed to allocate",
    "unable to allocate",
    "insufficient memory",
    "cudamalloc failed",
    "cudaerrormemoryallocation",
    "_status_alloc_failed",
    "bad_alloc",
    "cannot allocate memory",
)

_TORCH_OUT_OF_MEMORY = "OutOfMemoryError"

_encoder = msgspec.msgpack.Encoder()
_to_worker: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(ToWorker)
_from_worker: msgspec.msgpack.Decoder[Any] = msgspec.msgpack.Decoder(FromWorker)


def encode(message: ToWorker | FromWorker) -> bytes:
    """The message as bytes for the wire."""
    return _encoder.encode(message)


def decode_to_worker(data: bytes) -> ToWorker | None:
    """What the bot sent, or ``None`` where the bytes are no such message."""
    return _decode(_to_worker, data)  # type: ignore[no-any-return]


def decode_from_worker(data: bytes) -> FromWorker | None:
    """What a worker sent, or ``None`` where the bytes are no such message."""
    return _decode(_from_worker, data)  # type: ignore[no-any-return]


def _decode(decoder: msgspec.msgpack.Decoder[Any], data: bytes) -> Any:  # noqa: ANN401
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def says_out_of_memory(text: str) -> bool:
    """Whether native output tells that memory ran out."""
    lowered = text.lower()
    return any(phrase in lowered for phrase in _OUT_OF_MEMORY)


def describe_failure(error: BaseException) -> tuple[str, str]:
    """The kind and message under which an error crosses the boundary."""
    kind = type(error).__name__
    if kind in _KINDS and not isinstance(error, errors.BackendFailed):
        return kind, str(error)
    if isinstance(error, MemoryError):
        return errors.OutOfMemory.__name__, "The host's memory is full."
    if kind == _TORCH_OUT_OF_MEMORY or says_out_of_memory(str(error)):
        return errors.OutOfMemory.__name__, str(error)
    if isinstance(error, errors.BackendFailed):
        return errors.BackendFailed.__name__, str(error)
    return errors.BackendFailed.__name__, f"{kind}: {error}"


def to_error(kind: str, message: str) -> errors.DanzarError:
    """The error that a worker described."""
    return _KINDS.get(kind, errors.BackendFailed)(message)
