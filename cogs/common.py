"""What commands share: who may do what, errors as one friendly line, mentions that ping no one."""

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import discord
from discord import app_commands
from discord.ext import commands

from danzar.errors import DanzarError
from danzar.request_id import current_request_id, new_request_id, set_request_id

log = logging.getLogger(__name__)

SAFE_MENTIONS = discord.AllowedMentions.none()
_LINE_LIMIT = 1500
T = TypeVar("T")


class NotOperator(commands.CheckFailure):
    """The command is for operators."""


def is_operator(user: discord.abc.User, role_name: str) -> bool:
    """Whether the user has the operator role, or administers the server. Nobody is in a DM."""
    if not isinstance(user, discord.Member):
        return False
    if user.guild_permissions.administrator:
        return True
    return any(role.name.casefold() == role_name.casefold() for role in user.roles)


def actor_name(user: discord.abc.User) -> str:
    """A person, as the audit names people."""
    return f"{user.name} ({user.id})"


def actor_of(ctx: commands.Context[Any]) -> str:
    """Who gave a command, as the audit names people."""
    return actor_name(ctx.author)


async def answer_error(interaction: discord.Interaction[Any], error: Exception) -> None:
    """Say what went wrong to the one who pressed or submitted; the log has the rest."""
    line = render_error(error)
    if interaction.response.is_done():
        await interaction.followup.send(line, ephemeral=True)
    else:
        await interaction.response.send_message(line, ephemeral=True)


def operators_only() -> Callable[[T], T]:
    """Decorator for a command, hybrid or not: refuse everyone who is no operator.

    The bot's ``operator_role`` (a string) names the role.
    """

    def predicate(ctx: commands.Context[Any]) -> bool:
        role_name: str = ctx.bot.operator_role
        if is_operator(ctx.author, role_name):
            return True
        raise NotOperator(f"This needs the role “{role_name}”. Ask whoever runs this server.")

    return commands.check(predicate)


def add_to_group(
    bot: commands.Bot,
    group: str,
    command: commands.HybridCommand[Any, ..., Any] | commands.HybridGroup[Any, ..., Any],
) -> None:
    """Add a subcommand to a group that another cog has made.

    Raises:
        TypeError: There is no such group yet: the cogs are added in the wrong order.
    """
    found = bot.get_command(group)
    if not isinstance(found, commands.HybridGroup):
        raise TypeError(f"the cog with the group `{group}` must be added before this one")
    found.add_command(command)


def remove_from_group(bot: commands.Bot, group: str, name: str) -> None:
    """Take a subcommand out of a group again, where the group is still there."""
    found = bot.get_command(group)
    if isinstance(found, commands.HybridGroup):
        found.remove_command(name)


def describe_error(error: BaseException) -> str | None:
    """One friendly line for an error that people may meet; ``None`` for a bug. Pure."""
    cause = root_cause(error)
    match cause:
        case DanzarError() | NotOperator():
            text = str(cause)
        case commands.CommandOnCooldown() | app_commands.CommandOnCooldown():
            text = f"That was quick. Try again in {cause.retry_after:.0f} s."
        case commands.MaxConcurrencyReached():
            text = "That is running already. Wait until it has ended."
        case commands.NoPrivateMessage() | app_commands.NoPrivateMessage():
            text = "This works in a server's channel only."
        case commands.MissingRequiredArgument():
            text = f"`{cause.param.name}` is missing."
        case commands.UserInputError():
            text = str(cause) or "I don't understand that."
        case commands.CheckFailure() | app_commands.CheckFailure():
            text = "You may not do that here."
        case _:
            return None
    return "⚠️ " + _short(text)


def root_cause(error: BaseException) -> BaseException:
    """What a command really raised, inside discord.py's wrappers and groups of one."""
    while True:
        inner = getattr(error, "original", None)
        if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            inner = error.exceptions[0]
        if not isinstance(inner, BaseException):
            return error
        error = inner


def render_error(error: BaseException) -> str:
    """The line that a person is shown. A bug goes to the log with an id, which the line has."""
    line = describe_error(error)
    if line is not None:
        return line
    error_id = current_request_id() or new_request_id("e")
    set_request_id(error_id)
    log.error("unexpected error id=%s", error_id, exc_info=error)
    find = f"danzar logs --request {error_id}"
    return f"⚠️ Something went wrong on my side. The owner finds it with `{find}`."


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LINE_LIMIT else line[: _LINE_LIMIT - 1] + "…"
