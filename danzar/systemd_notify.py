"""Tells systemd that Danzar is ready, ends, and lives (``Type=notify``); silent without systemd."""

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

READY = "READY=1"
STOPPING = "STOPPING=1"
WATCHDOG = "WATCHDOG=1"
_POLL_S = 1.0
_MICROSECONDS = 1_000_000


def notify(state: str, environ: Mapping[str, str] = os.environ) -> bool:
    """Send one message; False where systemd did not ask for any."""
    path = environ.get("NOTIFY_SOCKET", "")
    if not path or not hasattr(socket, "AF_UNIX"):
        return False
    # A leading @ means a name in the kernel rather than in a folder.
    address = f"\0{path[1:]}" if path.startswith("@") else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        # A full queue means that systemd has enough to read; to wait would hold up the loop.
        sender.setblocking(False)
        sender.sendto(state.encode(), address)
        return True
    return False


def watchdog_s(environ: Mapping[str, str] = os.environ) -> float | None:
    """Seconds within which systemd wants a sign of life; ``None``: it wants none from here."""
    asked = environ.get("WATCHDOG_USEC", "")
    meant = environ.get("WATCHDOG_PID", "")
    if not asked.isdigit() or not int(asked) or meant not in ("", str(os.getpid())):
        return None
    return int(asked) / _MICROSECONDS


@asynccontextmanager
async def told_to_systemd(
    missing: Callable[[], tuple[str, ...]],
    alive: Callable[[], bool],
    environ: Mapping[str, str] = os.environ,
) -> AsyncIterator[None]:
    """Keep systemd told while the context lasts.

    Args:
        missing: What is not there yet; asked once a second until it is nothing.
        alive: Whether the bot still works; no sign of life is given while it does not.
        environ: Where systemd says what it wants.
    """
    if not environ.get("NOTIFY_SOCKET"):
        yield
        return
    async with asyncio.TaskGroup() as tasks:
        teller = tasks.create_task(_tell(missing, alive, environ))
        try:
            yield
        finally:
            notify(STOPPING, environ)
            teller.cancel()


async def _tell(
    missing: Callable[[], tuple[str, ...]], alive: Callable[[], bool], environ: Mapping[str, str]
) -> None:
    """First readiness, then signs of life, thrice as often as systemd wants them."""
    # Signs of life count from READY=1 on; before it, TimeoutStartSec= is the limit.
    while waits_for := missing():
        notify(f"STATUS=waits for: {'; '.join(waits_for)}".replace("\n", " "), environ)
        await asyncio.sleep(_POLL_S)
    notify(f"{READY}\nSTATUS=ready", environ)
    limit_s = watchdog_s(environ)
    while limit_s is not None:
        if alive():
            notify(WATCHDOG, environ)
        await asyncio.sleep(limit_s / 3)
