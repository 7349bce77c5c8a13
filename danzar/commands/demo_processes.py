"""Python processes that end with the context that started them."""

import asyncio
import contextlib
import os
import subprocess
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

STOP_TIMEOUT_S = 15.0
_CHUNK_BYTES = 65536


@asynccontextmanager
async def child(
    module: Sequence[str], environment: Mapping[str, str], *, output: int
) -> AsyncIterator[Process]:
    """``python -m MODULE ARGUMENTS...`` while the context lasts.

    Ctrl-C in the terminal does not reach it: whoever holds the context ends it in order.

    Args:
        module: The module and its arguments.
        environment: All of its variables.
        output: Where both of its outputs go: a file descriptor, or ``PIPE``.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *module,
        env=environment,
        stdin=PIPE,
        stdout=output,
        stderr=output,
        creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        start_new_session=os.name == "posix",
    )
    try:
        yield process
    finally:
        await _end(process)


@asynccontextmanager
async def drained(process: Process) -> AsyncIterator[None]:
    """Read what the process prints, so that it never waits for us."""
    async with asyncio.TaskGroup() as tasks:
        readers = [tasks.create_task(_drain(p)) for p in (process.stdout, process.stderr) if p]
        try:
            yield
        finally:
            for reader in readers:
                reader.cancel()


async def _drain(pipe: asyncio.StreamReader) -> None:
    while await pipe.read(_CHUNK_BYTES):
        pass


async def _end(process: Process) -> None:
    """End it politely, then by force; returns when it is gone.

    Both kinds of child end when their standard input closes, which also serves Windows, where
    ``terminate`` leaves no time to clean up.
    """
    if process.stdin is not None:
        process.stdin.close()
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
    try:
        async with asyncio.timeout(STOP_TIMEOUT_S):
            await process.wait()
    except TimeoutError:
        pass
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
