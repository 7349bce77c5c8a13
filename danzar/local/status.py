"""Asks the bot for the state of its cards while someone looks."""

import asyncio
import json
import logging
from collections.abc import Callable
from typing import Any

import aiohttp

log = logging.getLogger(__name__)

PERIOD_S = 1.0
TIMEOUT_S = 2.0


async def fetch_status(session: aiohttp.ClientSession, base_url: str) -> dict[str, Any] | None:
    """The bot's ``/v1/status``, or ``None`` when it does not answer properly in time."""
    url = f"{base_url.rstrip('/')}/v1/status"
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=TIMEOUT_S)) as response:
            raw = await response.read()
            status = json.loads(raw) if response.status == 200 else None  # noqa: PLR2004
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        log.debug("no status from %s: %s", url, exc)
        return None
    return status if isinstance(status, dict) else None


async def poll_status(
    base_url: str,
    someone_looks: Callable[[], bool],
    show: Callable[[dict[str, Any] | None], None],
) -> None:
    """Fetch once a second while someone looks, until cancelled."""
    async with aiohttp.ClientSession() as session:
        while True:
            if someone_looks():
                show(await fetch_status(session, base_url))
            await asyncio.sleep(PERIOD_S)
