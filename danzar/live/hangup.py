"""SIGHUP applies what the settings' files say now."""

import asyncio
import logging
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from danzar.errors import ConfigError
from danzar.live.live_config import LiveConfig

log = logging.getLogger(__name__)


@asynccontextmanager
async def reload_on_hangup(live: LiveConfig) -> AsyncIterator[None]:
    """Listen while the context lasts; on Windows, which has no such signal, do nothing.

    In a terminal the signal keeps its meaning: closing the window ends the bot.
    """
    number = getattr(signal, "SIGHUP", None)
    if number is None or _in_terminal():
        yield
        return
    loop, wanted = asyncio.get_running_loop(), asyncio.Event()
    async with asyncio.TaskGroup() as tasks:
        reloading = tasks.create_task(_reload_when(wanted, live))
        loop.add_signal_handler(number, wanted.set)
        try:
            yield
        finally:
            loop.remove_signal_handler(number)
            reloading.cancel()


async def _reload_when(wanted: asyncio.Event, live: LiveConfig) -> None:
    while True:
        await wanted.wait()
        wanted.clear()
        try:
            applied = await live.reload(who="SIGHUP")
        except ConfigError as exc:
            log.error("the settings were not applied: %s", exc)  # noqa: TRY400 - it says it all
        except Exception:
            log.exception("the settings could not be applied")
        else:
            log.info("the settings were read again: %s", applied)


def _in_terminal() -> bool:
    try:
        return sys.stdin is not None and sys.stdin.isatty()
    except ValueError:
        return False
