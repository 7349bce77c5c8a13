"""What a demo's bot prints, in two files that do not grow."""

import asyncio
import contextlib
import os
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

MAX_BYTES = 4 * 1024 * 1024  # of each of the two
_CHUNK_BYTES = 65536
_LAST_WORDS_S = 5.0
_PRIVATE = 0o600


class OutputFile:
    """Appends, and keeps as much again of what was before under ``demo.1.log``."""

    def __init__(self, path: Path, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes

    def begin(self) -> None:
        """Empty it."""
        os.close(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, _PRIVATE))

    def write(self, data: bytes) -> None:
        """Append. Blocks."""
        if self.path.stat().st_size + len(data) > self._max_bytes:
            # Windows refuses while somebody reads; then the next write tries again.
            with contextlib.suppress(PermissionError):
                self.path.replace(self.path.with_name(f"{self.path.stem}.1{self.path.suffix}"))
                self.begin()
        with self.path.open("ab") as stream:
            stream.write(data)


@asynccontextmanager
async def written_to(file: OutputFile, process: Process) -> AsyncIterator[None]:
    """Write what the process prints into the file, to its last words."""
    async with asyncio.TaskGroup() as tasks:
        pipes = [pipe for pipe in (process.stdout, process.stderr) if pipe is not None]
        readers = [tasks.create_task(_write_all(pipe, file)) for pipe in pipes]
        try:
            yield
            # Whoever inherited the pipe may hold it open.
            await asyncio.wait(readers, timeout=_LAST_WORDS_S)
        finally:
            for reader in readers:
                reader.cancel()


async def _write_all(pipe: asyncio.StreamReader, file: OutputFile) -> None:
    while data := await pipe.read(_CHUNK_BYTES):
        try:
            await asyncio.to_thread(file.write, data)
        except OSError:
            continue  # a full disk; the pipe must not fill up with it
