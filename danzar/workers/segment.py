"""Pieces of host RAM that outlive the worker that filled them, because the bot holds them.

The system owns their life: on Linux a segment is a file without a name (memfd), on Windows a
mapping of the page file. Either is gone with the last process that holds it, however that one
ended: nothing is left behind that a later start would have to find, and the size of /dev/shm
limits nothing.
"""

import mmap
import os
import secrets
import sys
from typing import Final

from danzar.errors import BackendFailed

SUPPORTED: Final = sys.platform == "win32" or hasattr(os, "memfd_create")
"""Whether this system has segments."""

NAME: Final = "danzar-warm"


class Segment:
    """The bot's hold on one segment. Made empty; a worker fills it by its address."""

    def __init__(self) -> None:
        """Reserve an address.

        Raises:
            OSError: The system has no segments, or too many files are open.
        """
        if not SUPPORTED:
            raise OSError(f"{sys.platform} has no memory segments without a name")
        self._mapping: mmap.mmap | None = None
        self._file: int | None = None
        if sys.platform == "win32":
            self.address = f"{NAME}-{os.getpid()}-{secrets.token_hex(8)}"
        else:
            self._file = os.memfd_create(NAME, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
            # A worker of the same user opens the bot's file by this path.
            self.address = f"/proc/{os.getpid()}/fd/{self._file}"

    def hold(self, size_bytes: int) -> None:
        """Keep what a worker has written, at exactly this size. To be called while it lives.

        Raises:
            OSError: There is no such segment.
        """
        if sys.platform == "win32":
            self._mapping = mmap.mmap(-1, size_bytes, tagname=self.address)
        elif self._file is not None:
            _seal_size(self._file, size_bytes)

    def close(self) -> None:
        """Give it back, once no worker reads it any more. Blocks for about 0.1 s per GB."""
        if self._mapping is not None:
            self._mapping.close()
            self._mapping = None
        if self._file is not None:
            os.close(self._file)
            self._file = None


# What this process made, where a mapping is gone with its last holder (Windows): the bot must have
# it first.
_made: list[mmap.mmap] = []


def create(address: str, size_bytes: int) -> mmap.mmap:
    """In the worker: memory of this size at the address, to be written; all of it is there at once.

    Raises:
        BackendFailed: The system has none left.
    """
    try:
        return _create(address, size_bytes)
    except OSError as exc:
        raise BackendFailed(f"{size_bytes} bytes of host RAM can't be kept: {exc}") from exc


def attach(address: str, size_bytes: int, *, private: bool) -> mmap.mmap:
    """In the worker: what stands at the address.

    Args:
        address: Of a segment that the bot holds.
        size_bytes: Its size.
        private: What is written into it stays in this process. Not for memory that is pinned.

    Raises:
        BackendFailed: The bot holds it no longer.
    """
    try:
        return _attach(address, size_bytes, private=private)
    except (OSError, ValueError) as exc:
        raise BackendFailed(f"the warm copy at {address} is gone: {exc}") from exc


def let_go() -> None:
    """In the worker: the bot has what was made here, or does not want it."""
    _made.clear()


def _create(address: str, size_bytes: int) -> mmap.mmap:
    if sys.platform == "win32":
        mapping = mmap.mmap(-1, size_bytes, tagname=address)
        _made.append(mapping)
        return mapping
    file = os.open(address, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Without this, a system that is out of memory would end the process at a write.
        os.posix_fallocate(file, 0, size_bytes)
        return mmap.mmap(file, size_bytes)
    finally:
        os.close(file)


def _attach(address: str, size_bytes: int, *, private: bool) -> mmap.mmap:
    if sys.platform == "win32":
        return mmap.mmap(-1, size_bytes, tagname=address)
    file = os.open(address, os.O_RDWR | os.O_CLOEXEC)
    try:
        access = mmap.ACCESS_COPY if private else mmap.ACCESS_WRITE
        return mmap.mmap(file, size_bytes, access=access)
    finally:
        os.close(file)


def _seal_size(file: int, size_bytes: int) -> None:
    """From now on it can't shrink: a worker that reads it can't lose the ground."""
    if sys.platform != "win32":
        import fcntl  # POSIX only

        found = os.fstat(file).st_size
        if found != size_bytes:
            raise OSError(f"{found} bytes were written where {size_bytes} were announced")
        fcntl.fcntl(file, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW)
