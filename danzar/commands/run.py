"""``danzar run``: the bot."""

import asyncio
import os
from collections.abc import Mapping

import discord

from danzar.app import run_bot
from danzar.config.settings import Config
from danzar.errors import DanzarError, first_error
from danzar.local.lifetime import end_with_parent

TOKEN_VARIABLE = "DISCORD_TOKEN"  # noqa: S105 - the name, not the secret
PORTAL = "https://discord.com/developers/applications"
END_WITH_PARENT = "DANZAR_END_WITH_PARENT"


class CannotStart(DanzarError):
    """Discord will not have the bot."""


def token_from(environ: Mapping[str, str] = os.environ) -> str:
    """The bot's token.

    Raises:
        CannotStart: There is none.
    """
    token = environ.get(TOKEN_VARIABLE, "").strip()
    if not token:
        raise CannotStart(
            f"{TOKEN_VARIABLE} is not set, nor {TOKEN_VARIABLE}_FILE; get a token at {PORTAL} "
            "(docs/quick-start.md), or try without one: danzar demo"
        )
    return token


async def run(config: Config, token: str) -> None:
    """Be online until cancelled.

    Raises:
        CannotStart: Discord refuses the bot.
        danzar.errors.DanzarError: A part could not be opened.
    """
    try:
        await _run_while_parent_lives(config, token)
    except Exception as exc:
        message = _explain(first_error(exc))
        if message is None:
            raise
        raise CannotStart(message) from exc


def _explain(error: BaseException) -> str | None:
    """What to do about an error of Discord; ``None`` for any other."""
    match error:
        case discord.LoginFailure():
            return (
                f"Discord refuses the token in {TOKEN_VARIABLE}; reset it at {PORTAL} (Bot, Reset "
                "Token) and set the new one"
            )
        case discord.PrivilegedIntentsRequired():
            return (
                f"Discord wants an intent switched on: {PORTAL}, your application, Bot, "
                "Message Content Intent"
            )
        case _:
            return None


async def _run_while_parent_lives(config: Config, token: str) -> None:
    """Run the bot; end it with the process that started it, where that one asks for it."""
    if END_WITH_PARENT not in os.environ:
        await run_bot(config, token)
        return
    async with asyncio.TaskGroup() as tasks:
        bot = tasks.create_task(run_bot(config, token))
        parent = tasks.create_task(_cancel_at(end_with_parent(), bot))
        await asyncio.wait([bot])
        parent.cancel()


async def _cancel_at(event: asyncio.Event, task: "asyncio.Task[None]") -> None:
    await event.wait()
    task.cancel()
