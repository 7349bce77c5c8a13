"""``!gpu estimate``: what a picture or a video would take, and what to change so that it fits.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

from typing import Any, Protocol

from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, add_to_group, remove_from_group
from danzar.errors import BadInput
from danzar.resources.preflight import Preflight
from danzar.resources.text import preflight_lines

Context = commands.Context[commands.Bot]
_NAME = "estimate"
_LONGEST_TEXT = 1900


class Resources(Protocol):
    """The part of ``danzar.resources.manager.ResourceManager`` that people ask."""

    async def preflight(self, params: dict[str, Any]) -> Preflight:
        """Whether a generation fits, and what to change if not."""
        ...


class ResourcesCog(commands.Cog, name="Resources"):
    """Adds its command to the group ``!gpu``, which another cog has made."""

    def __init__(self, bot: commands.Bot, resources: Resources) -> None:
        self._bot = bot
        self._resources = resources

    async def cog_load(self) -> None:
        add_to_group(self._bot, "gpu", _estimate(self._resources))

    async def cog_unload(self) -> None:
        remove_from_group(self._bot, "gpu", _NAME)


def parse_params(model: str, resolution: str | None, duration: str | None) -> dict[str, Any]:
    """The parameters in what a person wrote: ``t2v 720p 4s``. Pure.

    Raises:
        BadInput: The duration is no number of seconds.
    """
    params: dict[str, Any] = {"model_type": model}
    if resolution is not None:
        params["resolution"] = resolution
    if duration is not None:
        try:
            params["duration"] = float(duration.strip().lower().removesuffix("s"))
        except ValueError as exc:
            raise BadInput("write the seconds: `!gpu estimate t2v 720p 4s`") from exc
    return params


def render_preflight(found: Preflight) -> str:
    """What it takes, whether it fits, and each change with what is lost. Pure."""
    mark = {"ready": "✅", "changed": "🔧", "impossible": "❌"}[found.verdict]
    first, second, *changes = preflight_lines(found)
    return "\n".join((f"📐 {first}", f"{mark} {second}", *changes))[:_LONGEST_TEXT]


def _estimate(resources: Resources) -> commands.HybridCommand[Any, ..., Any]:
    @commands.hybrid_command(name=_NAME, description="What a picture or a video would take")  # type: ignore[arg-type]
    @app_commands.describe(
        model="t2v, i2v, ti2v, sdxl, sd-1.5, ...",
        resolution="720p, 1280x720, ...",
        duration="Of a video, for example 4s",
    )
    async def estimate(
        ctx: Context, model: str, resolution: str | None = None, duration: str | None = None
    ) -> None:
        found = await resources.preflight(parse_params(model, resolution, duration))
        await ctx.send(render_preflight(found), allowed_mentions=SAFE_MENTIONS)

    return estimate
