"""Every command in Discord, asked of the bot itself with all its cogs added."""

import asyncio
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import MagicMock

from discord import AppCommandType, app_commands
from discord.ext import commands

from danzar.app import make_cogs
from danzar.bot import DanzarBot
from danzar.config.settings import Config
from danzar.telemetry.simulated import SimulatedCards
from tools.reference.discord_examples import EXAMPLES
from tools.reference.markdown import code, page, sentence, table

ABOUT = """
Each is written into a message with the prefix (`discord.command_prefix`, here `!`), and is a slash
command as well. **Operators** have the role that `discord.operator_role` names, or administer the
server; nobody is one in a direct message. How it looks: [commands](../commands.md).
"""
_OPERATORS = "operators_only"
SlashCommand = app_commands.Command[Any, ..., Any]


@dataclass(frozen=True, slots=True)
class Option:
    """One thing that a command may be told."""

    name: str
    text: str
    required: bool
    default: object


@dataclass(frozen=True, slots=True)
class Described:
    """One command as people know it."""

    name: str
    slash: str
    text: str
    for_operators: bool
    options: tuple[Option, ...]


def discord_page() -> str:
    """docs/reference/discord-commands.md."""
    bot = asyncio.run(bot_with_cogs())
    parts: list[str] = []
    for command in described(bot):
        parts += _command(command)
    parts += ["## In menus", _menus(bot)]
    return page("Every command in Discord", ABOUT, parts)


async def bot_with_cogs() -> DanzarBot:
    """The bot with every command, simulated cards' too; nothing behind them is there."""
    config = Config.model_validate({"root": "."})
    bot = DanzarBot(config.bot.discord)
    services = MagicMock(config=config, telemetry=MagicMock(spec=SimulatedCards))
    for cog in make_cogs(bot, services):
        await bot.add_cog(cog)
    return bot


def described(bot: DanzarBot) -> Iterator[Described]:
    """Every command by its name, in the order of the alphabet."""
    for command in sorted(bot.walk_commands(), key=lambda command: command.qualified_name):
        yield Described(
            command.qualified_name,
            slash.qualified_name if (slash := _slash(command)) else "",
            sentence(command.description or command.help or ""),
            any(_OPERATORS in check.__qualname__ for check in command.checks),
            tuple(_options(command)),
        )


def _options(command: commands.Command[Any, ..., Any]) -> Iterator[Option]:
    slash = _slash(command)
    told = {option.name: str(option.description) for option in slash.parameters} if slash else {}
    for name, parameter in command.clean_params.items():
        text = told.get(name, "")
        default = parameter.default
        needed = default is inspect.Parameter.empty
        yield Option(name, "" if text == "…" else text, needed, None if needed else default)


def _slash(command: commands.Command[Any, ..., Any]) -> SlashCommand | None:
    """The slash command; that of a group has a name of its own, such as ``/gpu help``."""
    found = getattr(command, "app_command", None)
    if isinstance(command, commands.HybridGroup) and isinstance(found, app_commands.Group):
        found = found.get_command(command.fallback or "")
    return found if isinstance(found, app_commands.Command) else None


def _command(command: Described) -> list[str]:
    who = "for operators" if command.for_operators else "for everyone"
    told = f"{command.text} Slash command `/{command.slash}`, {who}."
    parts = [f"## `!{command.name}`", told]
    if command.options:
        rows = [(code(o.name), o.text, _default(o)) for o in command.options]
        parts.append(table(("option", "meaning", "default"), rows))
    examples = EXAMPLES.get(command.name, (command.name,))
    return [*parts, f"For example {', '.join(code(f'!{example}') for example in examples)}."]


def _default(option: Option) -> str:
    if option.required:
        return "needed"
    return "" if option.default in (None, "") else code(option.default)


def _menus(bot: DanzarBot) -> str:
    kinds = (AppCommandType.message, AppCommandType.user)
    rows = [
        (f"*Apps → {menu.name}*", f"in the menu of a {kind.name}")
        for kind in kinds
        for menu in bot.tree.get_commands(type=kind)
    ]
    return table(("entry", "where"), rows)
