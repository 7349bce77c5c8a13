"""A model that repeats what it is told: for tests, and to try the workers without weights.

It passes the same contract test as the real backends. Its settings make it misbehave on purpose.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

from danzar.backends.settings import read_settings
from danzar.broker.identity import identify
from danzar.errors import BackendFailed, BadInput, ModelRefused, OutOfMemory
from danzar.workers import segment
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
    WarmCopy,
)

_NAP_S: Final = 0.01
_CRASH_STATUS: Final = 3
_KEPT: Final = b"echo was here"

Trouble = Literal["none", "exit", "abort", "hang", "out_of_memory", "error"]


class EchoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it behaves.

    Attributes:
        word_s: Seconds before each word.
        hold_bytes: Memory taken while loaded.
        load: What happens instead of loading.
        run: What happens after the first word.
        size: How large it is; a placement may make it smaller, as it does the context of others.
        load_room: The largest size that it can be loaded with; ``None`` is any.
        run_room: The largest size that it can answer with before the first word.
        dies: Running out ends the process, as llama.cpp does on a card.
        card_s: Seconds that it takes to fill the card, and to empty it.
        card_bytes: What it holds on the first card that it sees.
        card_keeps: It does not give that back while its process lives.
        keep_bytes: What a copy of it takes in host RAM; 0: it can't be kept.
        keep_s: Seconds that leaving the copy takes.
        card_folder: Where it notes that, for a driver that is a fake and can't know.
    """

    word_s: float = 0.0
    hold_bytes: int = 0
    load: Literal["none", "exit", "hang", "out_of_memory", "refuse", "crash"] = "none"
    run: Trouble = "none"
    size: int = 1
    load_room: int | None = None
    run_room: int | None = None
    dies: bool = False
    card_s: float = 0.0
    card_bytes: int = 0
    card_keeps: bool = False
    keep_bytes: int = 0
    keep_s: float = 0.0
    card_folder: str | None = None


class EchoBackend:
    """Streams the last message's words back."""

    def __init__(self, settings: EchoSettings, card: "_Card") -> None:
        self._settings = settings
        self._card = card
        self._held: bytearray | None = bytearray(settings.hold_bytes)

    def run(self, request: Request, is_cancelled: Callable[[], bool]) -> Iterator[Part | Result]:
        """See ``Backend.run``."""
        match request:
            case Generate():
                yield from self._generate(request, is_cancelled)
            case CountTokens(texts):
                yield TokenCounts(tuple(len(text.split()) for text in texts))
            case _:
                raise BadInput(f"The echo backend can't answer {type(request).__name__}.")

    def close(self) -> None:
        """See ``Backend.close``."""
        self._held = None
        self._card.empty()

    def freeze(self, address: str, limit_bytes: int) -> WarmCopy:
        """See ``Freezable.freeze``."""
        size_bytes = self._settings.keep_bytes
        time.sleep(self._settings.keep_s)
        if not 0 < size_bytes <= limit_bytes:
            raise BackendFailed(f"echo: {size_bytes} bytes can't be kept in {limit_bytes}.")
        copy = segment.create(address, size_bytes)
        copy[: len(_KEPT)] = _KEPT
        return WarmCopy(address, size_bytes, seal="echo")

    def _generate(
        self, request: Generate, is_cancelled: Callable[[], bool]
    ) -> Iterator[Part | Result]:
        words = request.messages[-1].content.split() if request.messages else []
        prompt_tokens = sum(len(message.content.split()) for message in request.messages)
        _run_out(self._settings, self._settings.run_room)
        for count, word in enumerate(words[: request.max_tokens]):
            if not self._wait(is_cancelled):
                yield Generated("cancelled", prompt_tokens, count)
                return
            yield TextDelta(word if count == 0 else f" {word}")
            _misbehave(self._settings.run)
        reason: Literal["stop", "length"] = "length" if len(words) > request.max_tokens else "stop"
        yield Generated(reason, prompt_tokens, min(len(words), request.max_tokens))

    def _wait(self, is_cancelled: Callable[[], bool]) -> bool:
        """Sleep before a word; False where the request was cancelled."""
        until_s = time.monotonic() + self._settings.word_s
        while time.monotonic() < until_s and not is_cancelled():
            time.sleep(_NAP_S)
        return not is_cancelled()


def load(spec: LoadSpec) -> tuple[Backend, LoadReport]:
    """See ``LoadBackend``."""
    settings = read_settings(spec, EchoSettings)
    _run_out(settings, settings.load_room)
    match settings.load:
        case "refuse":
            raise ModelRefused(f"{spec.name} refuses to load, as its settings say.")
        case "crash":
            raise ValueError("crash while loading")
        case "exit" | "hang" | "out_of_memory":
            _misbehave(settings.load)
        case "none":
            pass
    card = _Card(spec.name, settings)
    card.fill()
    held_bytes = settings.card_bytes or settings.hold_bytes
    report = LoadReport(held_bytes, {"engine": "echo"}, warm=_is_warm(spec.warm))
    return EchoBackend(settings, card), report


def _is_warm(copy: WarmCopy | None) -> bool:
    """Whether there is a copy, and it can be read."""
    if copy is None:
        return False
    mapping = segment.attach(copy.address, copy.size_bytes, private=True)
    return mapping[: len(_KEPT)] == _KEPT


class _Card:
    """Card memory that is only said to be held: a file that a fake driver reads.

    The file's name says which process holds it, so that the bytes are back when that is gone.
    """

    def __init__(self, model: str, settings: EchoSettings) -> None:
        self._settings = settings
        self._path: Path | None = None
        process = identify(os.getpid())
        if settings.card_folder is not None and process is not None:
            self._path = Path(settings.card_folder) / f"{process.pid}.{process.started}.{model}"

    def fill(self) -> None:
        """Take the memory, half of it first."""
        for part in (2, 1):
            self._note(self._settings.card_bytes // part)
            time.sleep(self._settings.card_s / 2)

    def empty(self) -> None:
        """Give it back."""
        if self._path is not None and not self._settings.card_keeps:
            time.sleep(self._settings.card_s)
            self._path.unlink(missing_ok=True)

    def _note(self, size_bytes: int) -> None:
        first, _, _ = os.environ.get("CUDA_VISIBLE_DEVICES", "").partition(",")
        if self._path is not None and first:
            draft = self._path.with_name(f".{self._path.name}")
            draft.write_text(f"{first} {size_bytes}\n", encoding="ascii")
            draft.replace(self._path)


def _run_out(settings: EchoSettings, room: int | None) -> None:
    if room is None or settings.size <= room:
        return
    if settings.dies:
        os.write(2, b"echo: CUDA error: out of memory\n")
        os.abort()
    raise OutOfMemory(f"echo: size {settings.size} is more than {room}, as the settings say.")


def _misbehave(trouble: Trouble) -> None:
    match trouble:
        case "exit":
            os.write(2, b"echo: leaving on purpose\n")
            os._exit(_CRASH_STATUS)
        case "abort":
            os.abort()
        case "hang":
            while True:
                time.sleep(_NAP_S)
        case "out_of_memory":
            raise OutOfMemory("echo: the device is full, as the settings say.")
        case "error":
            raise BackendFailed("echo: failed, as the settings say.")
        case "none":
            pass
