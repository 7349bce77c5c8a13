"""Ends this process with the one that started it, so that it is never orphaned."""

import asyncio
import contextlib
import os
import sys
import threading
from collections.abc import Callable

import psutil


def end_with_parent() -> asyncio.Event:
    """An event that is set when standard input closes or the parent process is gone.

    Must be called inside the running loop. The two threads behind it block in the operating
    system and end with the process.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def finish() -> None:
        with contextlib.suppress(RuntimeError):  # the loop closed first
            loop.call_soon_threadsafe(ended.set)

    for watch in (_wait_for_stdin, _wait_for_parent):
        threading.Thread(target=watch, args=(finish,), daemon=True, name=watch.__name__).start()
    return ended


def _wait_for_stdin(finish: Callable[[], None]) -> None:
    # Not sys.stdin.read(): a thread inside its buffer's lock can't be left at shutdown.
    with contextlib.suppress(OSError, ValueError, AttributeError):
        descriptor = sys.stdin.fileno()
        while os.read(descriptor, 1024):
            pass
    finish()


def _wait_for_parent(finish: Callable[[], None]) -> None:
    # Without a timeout: each one that passed would leave an exception and its frames behind, which
    # hold each other; every two seconds, that were megabytes until Python looked for them.
    with contextlib.suppress(psutil.Error):
        parent = psutil.Process().parent()
        if parent is not None:
            parent.wait()
    finish()
