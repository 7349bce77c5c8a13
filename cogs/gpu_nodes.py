"""``!gpu nodes``: all machines that share the queue, and which one would take a model.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

from typing import Any, Protocol

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, add_to_group, remove_from_group
from cogs.gpu_nodes_render import NODES_TITLE, render_nodes, render_plan
from danzar.nodes.choice import Offer
from danzar.nodes.standing import Member

Context = commands.Context[commands.Bot]
_NAME = "nodes"
_MAX_CHOICES = 25  # Discord's limit


class Nodes(Protocol):
    """The part of ``danzar.nodes.nodes.Nodes`` that people ask."""

    def all(self) -> tuple[Member, ...]:
        """Every node that is remembered."""
        ...

    def models(self) -> frozenset[str]:
        """What the living nodes know."""
        ...

    def plan(self, model: str) -> tuple[Offer, ...]:
        """Which node would take a model's next job, best first."""
        ...


class NodesCog(commands.Cog, name="Nodes"):
    """Adds its command to the group ``!gpu``, which another cog has made."""

    def __init__(self, bot: commands.Bot, nodes: Nodes, *, head_start_s: float) -> None:
        self._bot = bot
        self._nodes = nodes
        self._head_start_s = head_start_s

    async def cog_load(self) -> None:
        add_to_group(self._bot, "gpu", _command(self._nodes, self._head_start_s))

    async def cog_unload(self) -> None:
        remove_from_group(self._bot, "gpu", _NAME)


def find_model(typed: str, nodes: Nodes) -> str:
    """The model that is meant, whatever its case; as typed where no node knows it. Pure."""
    wanted = typed.strip().casefold()
    return next((name for name in nodes.models() if name.casefold() == wanted), typed.strip())


def _command(nodes: Nodes, head_start_s: float) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name=_NAME, description="All machines: devices, models, who lives")  # type: ignore[arg-type]
    @app_commands.describe(model="Which machine would take this model, and why")
    async def show(ctx: Context, model: str | None = None) -> None:
        if model is None:
            title, text = NODES_TITLE, render_nodes(nodes.all())
        else:
            name = find_model(model, nodes)
            title, text = render_plan(name, nodes.plan(name), nodes.all(), head_start_s)
        embed = discord.Embed(title=title, description=text)
        await ctx.send(embed=embed, allowed_mentions=SAFE_MENTIONS)

    @show.autocomplete("model")
    async def _names(_: discord.Interaction, typed: str) -> list[app_commands.Choice[str]]:
        found = sorted(name for name in nodes.models() if typed.casefold() in name.casefold())
        return [app_commands.Choice(name=name[:100], value=name[:100]) for name in found][
            :_MAX_CHOICES
        ]

    return show
