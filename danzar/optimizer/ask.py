"""The other end of ``danzar.optimizer.serve``: a command asks the bot that runs here."""

from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from danzar.errors import BadInput
from danzar.live.control import Address, BotSilent
from danzar.optimizer.wishes import PATH, AnyLine, AnyWish, Progress, Refused

_CONNECT_S = 5.0
# The longest step without a line: a worker that is started anew, with its models.
_SILENCE_S = 300.0
_LINE_BYTES = 4 * 1024 * 1024
_OK = 200

OnProgress = Callable[[Progress], None]


async def ask_optimizer(
    address: Address, wish: AnyWish, on_progress: OnProgress = lambda _: None
) -> dict[str, Any] | None:
    """What came of it; ``None`` where no bot is there any more.

    Raises:
        danzar.errors.BadInput: The bot refused, with its reason; nothing was changed.
        danzar.live.control.BotSilent: It is there and does not answer.
    """
    try:
        return await _ask(address, wish, on_progress)
    except aiohttp.ClientConnectorError:
        return None
    except (aiohttp.ClientError, TimeoutError, ValueError) as exc:
        raise BotSilent(
            f"the bot at {address.url} does not answer ({type(exc).__name__}); restart it"
        ) from exc


async def _ask(address: Address, wish: AnyWish, on_progress: OnProgress) -> dict[str, Any] | None:
    headers = {"Authorization": f"Bearer {address.secret}"}
    timeout = aiohttp.ClientTimeout(connect=_CONNECT_S, sock_read=_SILENCE_S)
    async with (
        aiohttp.ClientSession(
            timeout=timeout, headers=headers, read_bufsize=_LINE_BYTES
        ) as session,
        session.post(address.url + PATH, data=msgspec.json.encode(wish)) as response,
    ):
        if response.status != _OK:
            return None
        async for raw in response.content:
            line: AnyLine = msgspec.json.decode(raw, type=AnyLine)
            if isinstance(line, Progress):
                on_progress(line)
            elif isinstance(line, Refused):
                raise BadInput("; ".join(line.reason.splitlines()))
            else:
                return line.body
    raise aiohttp.ServerDisconnectedError
