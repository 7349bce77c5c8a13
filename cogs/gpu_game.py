"""``!gpu game 6GB``: on simulated cards, a game that takes memory, to see how Danzar makes way.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import asyncio
from typing import Any

from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, add_to_group, operators_only, remove_from_group
from danzar.broker.reservations import parse_amount
from danzar.errors import BadInput
from danzar.telemetry.simulated import SimulatedCards
from danzar.telemetry.simulated_game import SimulatedGames
from danzar.units import format_gib

Context = commands.Context[commands.Bot]


class GameCog(commands.Cog, name="Simulated game"):
    """Adds ``game`` to the group ``!gpu``; only there while the cards are simulated."""

    def __init__(self, bot: commands.Bot, cards: SimulatedCards) -> None:
        self._bot = bot
        self._cards = cards
        self._games = SimulatedGames(cards)
        self._taking: dict[str, asyncio.Task[None]] = {}

    async def cog_load(self) -> None:
        add_to_group(self._bot, "gpu", _game_command(self))

    async def cog_unload(self) -> None:
        remove_from_group(self._bot, "gpu", "game")
        for uuid in self._cards.uuids:
            await self._stop(uuid)

    async def play(self, size: str, card: int) -> str:
        """Begin a game, or end it with size 0; what was done, in words.

        Raises:
            BadInput: The size or the card is none.
        """
        if not 0 <= card < len(self._cards.uuids):
            raise BadInput(f"there is no simulated card {card}; there are {len(self._cards.uuids)}")
        uuid, label = self._cards.uuids[card], f"cuda:{card} (simulated)"
        await self._stop(uuid)
        if size.strip() in ("0", "off", "end"):
            return f"🎮 The game on {label} ended and gave its memory back."
        wanted_bytes = parse_amount(size)
        self._taking[uuid] = asyncio.create_task(self._games.take(uuid, wanted_bytes))
        return (
            f"🎮 A simulated game takes {format_gib(wanted_bytes)} of {label}. See who makes way: "
            "`!gpu models`. End it: `!gpu game 0`."
        )

    async def _stop(self, uuid: str) -> None:
        task = self._taking.pop(uuid, None)
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._games.end(uuid)


def _game_command(cog: GameCog) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name="game", description="Let a simulated game take memory")  # type: ignore[arg-type]
    @app_commands.describe(size="For example 6GB; 0 ends it", card="0 is cuda:0")
    @operators_only()
    async def game(ctx: Context, size: str = "6GB", card: int = 0) -> None:
        await ctx.send(await cog.play(size, card), allowed_mentions=SAFE_MENTIONS)

    return game
