"""A model that repeats what it is told: for tests, and to try the workers without weights.

It passes the same contract test as the real backends. Its settings make it misbehave on purpose.
"""

import os
import time
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec

from danzar.backends.settings import read_settings
from danzar.errors import BackendFailed, BadInput, ModelRefused, OutOfMemory
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

_NAP_S: Final = 0.01
_CRASH_STATUS: Final = 3

Trouble = Literal["none", "exit", "abort", "hang", "out_of_memory", "error"]


class EchoSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How it behaves.

    Attributes:
        word_s: Seconds before each word.
        hold_bytes: Memory taken while loaded.
        load: What happens instead of loading.
        run: What happens after the first word.
    """

    word_s: float = 0.0
    hold_bytes: int = 0
    load: Literal["none", "exit", "hang", "out_of_memory", "refuse", "crash"] = "none"
    run: Trouble = "none"


class EchoBackend:
    """Streams the last message's words back."""

    def __init__(self, settings: EchoSettings) -> None:
        self._settings = settings
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

    def _generate(
        self, request: Generate, is_cancelled: Callable[[], bool]
    ) -> Iterator[Part | Result]:
        words = request.messages[-1].content.split() if request.messages else []
        prompt_tokens = sum(len(message.content.split()) for message in request.messages)
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
    match settings.load:
        case "refuse":
            raise ModelRefused(f"{spec.name} refuses to load, as its settings say.")
        case "crash":
            raise ValueError("crash while loading")
        case "exit" | "hang" | "out_of_memory":
            _misbehave(settings.load)
        case "none":
            pass
    return EchoBackend(settings), LoadReport(settings.hold_bytes, {"engine": "echo"})


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
