"""``!gpu graph``: has the cards' past drawn by the media worker."""

import asyncio
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import discord

from danzar.broker.decision import Decision
from danzar.core.asker import Asker, RequestClass
from danzar.core.device_memory import DeviceMemory
from danzar.errors import BackendFailed, BadInput
from danzar.graph import Levels, UseHistory, chart_request
from danzar.inference import Inference
from danzar.workers.chart import DrawnChart

GRAPH_NAME = "cards.png"
DEFAULT_MINUTES = 10
_SHORTEST_MINUTES = 1
# The media worker may have to be started first.
_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Graphs:
    """Draws; ``media`` is the name of the media model."""

    inference: Inference
    media: str
    history: UseHistory
    devices: Callable[[], Sequence[DeviceMemory]]
    decisions: Callable[[], Sequence[Decision]]
    levels: Callable[[], Levels]

    def minutes(self, wanted: int) -> int:
        """A span that is remembered.

        Raises:
            BadInput: It is too short or too long.
        """
        most = round(self.history.keep_s / 60)
        if not _SHORTEST_MINUTES <= wanted <= most:
            raise BadInput(f"the past {_SHORTEST_MINUTES} to {most} minutes can be shown")
        return wanted

    async def draw(self, minutes: int) -> discord.File:
        """The picture.

        Raises:
            danzar.errors.DanzarError: It can't be drawn.
        """
        return await self._draw(60.0 * minutes)

    async def draw_day(self) -> discord.File:
        """The picture of the last 24 hours, or of what is known of them.

        Raises:
            danzar.errors.DanzarError: It can't be drawn.
        """
        return await self._draw(max(60.0 * DEFAULT_MINUTES, self.history.known_s))

    async def _draw(self, span_s: float) -> discord.File:
        request = chart_request(
            self.history, self.devices(), self.decisions(), self.levels(), span_s
        )
        if not request.cards:
            raise BadInput("there is no GPU to show")
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                outcome = await self.inference.call(
                    self.media, request, asker=Asker(RequestClass.VISION)
                )
        except TimeoutError:
            raise BackendFailed(f"the graph was not drawn within {_TIMEOUT_S:.0f} s") from None
        if not isinstance(outcome.result, DrawnChart):
            raise BackendFailed(f"{self.media} answered {type(outcome.result).__name__}")
        return discord.File(io.BytesIO(outcome.result.png), GRAPH_NAME)
