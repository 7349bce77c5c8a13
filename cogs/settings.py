"""``!gpu set KEY VALUE``: a setting changed while Danzar runs, for operators.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

from typing import Any

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import actor_of, add_to_group, operators_only, remove_from_group
from cogs.confirm import Wish, ask_first
from danzar.config.changes import can_change_live
from danzar.config.keys import known_settings
from danzar.config.secrets import redact
from danzar.config.settings import Config
from danzar.errors import ConfigError
from danzar.explain.outlook import Outlook
from danzar.live.live_config import Applied, LiveConfig

_MAX_CHOICES = 25  # Discord's limit


class SettingsCog(commands.Cog, name="Settings"):
    """Adds ``set`` to the group ``!gpu``, which another cog has made."""

    def __init__(self, bot: commands.Bot, live: LiveConfig) -> None:
        self._bot = bot
        self._live = live

    async def cog_load(self) -> None:
        add_to_group(self._bot, "gpu", _set_command(self._live))

    async def cog_unload(self) -> None:
        remove_from_group(self._bot, "gpu", "set")


def render_changes(applied: Applied) -> tuple[str, ...]:
    """What changes, one line each. Pure."""
    return tuple(f"`{change.key}`: {change.old} → {change.new}" for change in applied.changes)


def matching_keys(config: Config, typed: str) -> list[str]:
    """Settings that can change now and whose names have what was typed in them. Pure."""
    names = (str(key) for key in known_settings(config) if can_change_live(key))
    return [name for name in names if typed.casefold() in name.casefold()][:_MAX_CHOICES]


def _set_command(live: LiveConfig) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name="set", description="Change a setting, now and in its file")  # type: ignore[arg-type]
    @app_commands.describe(key="For example placement.margin", value="As in the file: 1 GiB")
    @operators_only()
    async def set_setting(ctx: commands.Context[commands.Bot], key: str, *, value: str) -> None:
        who = actor_of(ctx)

        async def outlook() -> Outlook:
            try:
                lines = render_changes(await live.preview(key, value))
            except ConfigError as exc:
                return Outlook((), refusal=redact(str(exc)))
            return Outlook(lines, lines, None if lines else "It is so already; nothing to change.")

        async def act() -> str:
            lines = render_changes(await live.set(key, value, who=who))
            return "\n".join(["✅ From now on, and after a restart:", *lines])

        await ask_first(ctx, Wish("Change this setting?", "Change", outlook, act))

    @set_setting.autocomplete("key")
    async def _keys(
        _interaction: discord.Interaction, current: str
    ) -> list[app_commands.Choice[str]]:
        names = matching_keys(live.config, current)
        return [app_commands.Choice(name=name[:100], value=name[:100]) for name in names]

    return set_setting
