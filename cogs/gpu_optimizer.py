"""``!gpu optimize``, ``!gpu batch`` and ``!gpu audit``: the optimizer, for operators.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, actor_of, add_to_group, operators_only, remove_from_group
from cogs.confirm import Wish, ask_first
from cogs.gpu_optimizer_render import render_audit, render_batches, render_result
from danzar.errors import BadInput
from danzar.explain.outlook import Outlook
from danzar.optimizer.desk import AUTO, Switched
from danzar.optimizer.results import MemoryOptimizationResult, OptimizerStatus
from danzar.store import AuditEntry

Context = commands.Context[commands.Bot]
_NAMES = ("optimize", "batch", "audit")
_AUDIT_LINES = 15
_LONGEST_TEXT = 4000


class Desk(Protocol):
    """The part of ``danzar.optimizer.desk.OptimizerDesk`` that people use."""

    def status(self) -> OptimizerStatus:
        """Everything at one instant."""
        ...

    async def optimize(self, *, who: str) -> MemoryOptimizationResult:
        """Give back what is cached and unused now."""
        ...

    async def set_batch_size(self, size: int | None, *, who: str) -> Switched:
        """Keep batches at a size; ``None``: decide again."""
        ...


class OptimizerCog(commands.Cog, name="Optimizer"):
    """Adds its commands to the group ``!gpu``, which another cog has made."""

    def __init__(
        self,
        bot: commands.Bot,
        desk: Desk,
        audit: Callable[[int], Awaitable[tuple[AuditEntry, ...]]],
    ) -> None:
        self._bot = bot
        self._desk = desk
        self._audit = audit

    async def cog_load(self) -> None:
        for command in (_optimize(self._desk), _batch(self._desk), _show_audit(self._audit)):
            add_to_group(self._bot, "gpu", command)

    async def cog_unload(self) -> None:
        for name in _NAMES:
            remove_from_group(self._bot, "gpu", name)


def parse_batch(text: str) -> int | None:
    """The size, or ``None`` for ``auto``. Pure.

    Raises:
        BadInput: It is neither.
    """
    wanted = text.strip().casefold()
    if wanted == AUTO:
        return None
    if not (wanted.isascii() and wanted.isdecimal()):
        raise BadInput(f"write a number of pictures, or {AUTO}: `!gpu batch 8`")
    return int(wanted)


def _optimize(desk: Desk) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name="optimize", description="Give back cached and unused memory now")
    @operators_only()
    async def optimize(ctx: Context) -> None:
        async with ctx.typing():
            result = await desk.optimize(who=actor_of(ctx))
        await ctx.send(render_result(result), allowed_mentions=SAFE_MENTIONS)

    return optimize


def _batch(desk: Desk) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name="batch", description="Pictures that vision computes at once")  # type: ignore[arg-type]
    @app_commands.describe(size="A number, or auto; nothing shows what it is")
    @operators_only()
    async def batch(ctx: Context, size: str | None = None) -> None:
        if size is None:
            await ctx.send(render_batches(desk.status()), allowed_mentions=SAFE_MENTIONS)
            return
        wanted = parse_batch(size)

        async def outlook() -> Outlook:
            status = desk.status()
            now = status.manual_batch_size or AUTO
            line = f"Batch: {now} → {wanted or AUTO}. It stays until `auto` or a restart."
            return Outlook((line, render_batches(status)), (now,))

        async def act() -> str:
            switched = await desk.set_batch_size(wanted, who=actor_of(ctx))
            return f"✅ Batch: {switched.before} → {switched.after}"

        await ask_first(ctx, Wish("Change the batch size?", "Change", outlook, act))

    return batch


def _show_audit(
    read: Callable[[int], Awaitable[tuple[AuditEntry, ...]]],
) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name="audit", description="Who changed what lately")
    @operators_only()
    async def audit(ctx: Context) -> None:
        text = render_audit(await read(_AUDIT_LINES))
        embed = discord.Embed(title="📜 Audit", description=text[:_LONGEST_TEXT])
        await ctx.send(embed=embed, allowed_mentions=SAFE_MENTIONS)

    return audit
