"""The other end of ``danzar.optimizer.serve``: a command asks the bot that runs here."""

from collections.abc import Callable
from typing import Any

import aiohttp
import msgspec

from danzar.errors import BadInput
from danzar.live.asking import Address, posted
from danzar.optimizer.wishes import PATH, AnyLine, AnyWish, Progress, Refused

_CONNECT_S = 5.0
# The longest step without a line: a worker that is started anew, with its models.
_SILENCE_S = 300.0

OnProgress = Callable[[Progress], None]


async def ask_optimizer(
    address: Address, wish: AnyWish, on_progress: OnProgress = lambda _: None
) -> dict[str, Any] | None:
    """What came of it; ``None`` where no bot is there any more.

    Raises:
        danzar.errors.BadInput: The bot refused, with its reason; nothing was changed.
        danzar.live.asking.BotSilent: It is there and does not answer.
    """
    timeout = aiohttp.ClientTimeout(connect=_CONNECT_S, sock_read=_SILENCE_S)
    async with posted(address, PATH, wish, timeout) as lines:
        return None if lines is None else await _last(lines, on_progress)


async def _last(lines: aiohttp.StreamReader, on_progress: OnProgress) -> dict[str, Any]:
    async for raw in lines:
        line: AnyLine = msgspec.json.decode(raw, type=AnyLine)
        if isinstance(line, Progress):
            on_progress(line)
        elif isinstance(line, Refused):
            raise BadInput("; ".join(line.reason.splitlines()))
        else:
            return line.body
    raise aiohttp.ServerDisconnectedError
