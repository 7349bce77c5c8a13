"""Which process a process id means: ids are used again, a process and its start time are not."""

import sys
from dataclasses import dataclass
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_FIELD = 19  # of /proc/PID/stat, counted from the state, which follows the name


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process for ever.

    Attributes:
        started: When it began, as the system tells it: text to be compared and nothing else.
    """

    pid: int
    started: str

    def __str__(self) -> str:
        return f"{self.pid}@{self.started}"

    @classmethod
    def parse(cls, text: str) -> "ProcessIdentity":
        """The identity that ``str`` wrote."""
        pid, _, started = text.partition("@")
        return cls(int(pid), started)


def boot_id() -> str:
    """This start of the machine; empty where start times are absolute and need none."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def identify(pid: int) -> ProcessIdentity | None:
    """The process that has this id now; ``None`` where none lives.

    On Linux by clock ticks since the boot: seconds since 1970 move when the clock is set.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        started = _ticks(pid) if sys.platform == "linux" else repr(process.create_time())
    except (psutil.NoSuchProcess, ProcessLookupError, FileNotFoundError):
        return None
    return ProcessIdentity(pid, started)


def is_alive(identity: ProcessIdentity) -> bool:
    """Whether this very process lives."""
    return identify(identity.pid) == identity


def _ticks(pid: int) -> str:
    # The name, in brackets, may hold anything, spaces and brackets included.
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    return stat.rpartition(")")[2].split()[_START_FIELD]
