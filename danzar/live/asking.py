"""A command's side of the control channel: one question to the bot that runs here."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import msgspec

from danzar.errors import DanzarError

_OK = 200
_LINE_BYTES = 4 * 1024 * 1024


class Address(msgspec.Struct, frozen=True):
    """Where a running bot is, and what it wants to be told first.

    Attributes:
        folder: Its folder of settings.
        data: Its data folder.
    """

    url: str
    secret: str
    folder: str
    data: str = ""


class NoBot(DanzarError):
    """No bot runs here with these settings."""


class BotSilent(DanzarError):
    """A bot runs here, but does not answer."""


@asynccontextmanager
async def posted(
    address: Address, path: str, wish: object, patience: aiohttp.ClientTimeout
) -> AsyncIterator[aiohttp.StreamReader | None]:
    """Ask, and read the answer's body inside; ``None`` where no bot is there any more.

    Raises:
        BotSilent: It is there and does not answer, or what it says can't be understood.
    """
    headers = {"Authorization": f"Bearer {address.secret}"}
    try:
        async with (
            aiohttp.ClientSession(
                timeout=patience, headers=headers, read_bufsize=_LINE_BYTES
            ) as session,
            session.post(address.url + path, data=msgspec.json.encode(wish)) as response,
        ):
            yield response.content if response.status == _OK else None
            return
    except aiohttp.ClientConnectorError:
        pass
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        raise BotSilent(
            f"the bot at {address.url} does not answer ({type(exc).__name__}); restart it"
        ) from exc
    yield None
