"""What llama.cpp logs: kept for the reason of a failed load, and shown nowhere else."""

import ctypes
import re
import threading
from collections import deque
from pathlib import Path
from typing import Any, Final

import llama_cpp

from danzar.errors import ModelRefused, OutOfMemory
from danzar.workers.contract import LoadSpec
from danzar.workers.protocol import says_out_of_memory

_KEPT_LINES: Final = 40
_TELLING: Final = re.compile("error|fail|insufficient|unable|requires", re.IGNORECASE)


class LogTail:
    """The last lines that llama.cpp logged: silent unless loading fails."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._callback = llama_cpp.llama_log_callback(self._note)
        llama_cpp.llama_log_set(self._callback, ctypes.c_void_p(0))

    def _note(self, _level: int, text: bytes, _data: Any) -> None:  # noqa: ANN401
        self._lines.append(text.decode(errors="replace"))

    def clear(self) -> None:
        """Forget what was logged so far."""
        self._lines.clear()

    @property
    def text(self) -> str:
        """All that is kept."""
        return "".join(self._lines)


_log_tail: LogTail | None = None
_log_lock = threading.Lock()


def keep_log() -> LogTail:
    """The process's log of llama.cpp, empty: there is one callback for all models."""
    global _log_tail  # llama.cpp has one log callback per process
    with _log_lock:
        _log_tail = _log_tail or LogTail()
        _log_tail.clear()
        return _log_tail


def explain_model_error(spec: LoadSpec, log_text: str) -> Exception:
    """Why the weights can't be loaded, from what llama.cpp logged."""
    reason = _reason(log_text, "llama.cpp does not say why")
    if says_out_of_memory(log_text):
        return OutOfMemory(f"{spec.name}: no memory left while loading ({reason}).")
    return ModelRefused(
        f"{spec.name}: llama.cpp can't load {Path(spec.path or '').name}; the file is damaged, cut "
        f"off or of an unknown kind ({reason}). Fetch it again, or run: danzar models verify"
    )


def explain_context_error(spec: LoadSpec, log_text: str) -> Exception:
    """Why no context can be made for loaded weights, from what llama.cpp logged."""
    reason = _reason(log_text, "no context could be made")
    if says_out_of_memory(log_text):
        return OutOfMemory(f"{spec.name}: no memory left while loading ({reason}).")
    return ModelRefused(f"{spec.name}: llama.cpp refuses the settings ({reason}).")


def _reason(log_text: str, otherwise: str) -> str:
    lines = [line.strip() for line in log_text.splitlines() if _TELLING.search(line)]
    return lines[0] if lines else otherwise
