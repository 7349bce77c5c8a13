"""``!gpu``: the cards, the choice for vision, the monitor's switch and the log.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

from collections.abc import Sequence

import discord
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, operators_only
from cogs.gpu_render import (
    STATUS_TITLE,
    VISION_TITLE,
    render_monitor,
    render_status,
    render_vision,
)
from cogs.incidents import COLOURS
from danzar.config.settings import Config
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.pressure import Level, PressureRules, next_pressure
from danzar.gpu_memory import GpuMemoryManager
from danzar.monitor import MemoryMonitor


class GpuCog(commands.Cog, name="GPU"):
    """``!gpu status``, ``!gpu vision``, ``!gpu monitor`` and ``!gpu log``."""

    def __init__(
        self,
        bot: commands.Bot,
        gpu_mm: GpuMemoryManager,
        monitor: MemoryMonitor,
        config: Config,
    ) -> None:
        self.bot = bot
        self._gpu_mm = gpu_mm
        self._monitor = monitor
        self._config = config

    @commands.hybrid_group(name="gpu", fallback="help", description="GPU memory")  # type: ignore[arg-type]
    async def gpu(self, ctx: commands.Context[commands.Bot]) -> None:
        """The subcommands."""
        prefix = self._config.bot.discord.command_prefix
        await ctx.send(
            f"`{prefix}gpu status` shows every GPU, `{prefix}gpu vision` the best one for "
            f"vision, `{prefix}gpu monitor` switches alerts on or off, and `{prefix}gpu log` "
            "writes the figures to the log.",
            allowed_mentions=SAFE_MENTIONS,
        )

    @gpu.command(name="status", description="GPU memory of all devices")  # type: ignore[arg-type]
    async def status(self, ctx: commands.Context[commands.Bot]) -> None:
        devices = self._gpu_mm.devices()
        text = render_status(
            devices, self._gpu_mm.get_memory_recommendations(), self._gpu_mm.stale_age_s
        )
        embed = discord.Embed(
            title=STATUS_TITLE,
            description=text,
            colour=COLOURS[worst_level(devices, self._gpu_mm.rules.pressure)],
        )
        state = "on" if self._monitor.is_enabled else "off"
        embed.set_footer(text=f"Monitoring is {state}")
        await ctx.send(embed=embed, allowed_mentions=SAFE_MENTIONS)

    @gpu.command(name="vision", description="The best device for vision processing")  # type: ignore[arg-type]
    async def vision(self, ctx: commands.Context[commands.Bot]) -> None:
        text = render_vision(self._gpu_mm.vision_choice(), self._gpu_mm.devices())
        embed = discord.Embed(title=VISION_TITLE, description=text)
        await ctx.send(embed=embed, allowed_mentions=SAFE_MENTIONS)

    @gpu.command(name="monitor", description="Switch GPU memory monitoring on or off")  # type: ignore[arg-type]
    @operators_only()
    async def monitor(self, ctx: commands.Context[commands.Bot]) -> None:
        enabled = await self._monitor.toggle()
        text = render_monitor(
            enabled=enabled,
            interval_s=self._monitor.interval_s,
            warning_pct=self._config.vram.monitor.warning_pct,
            alert_channel=self._config.bot.discord.alert_channel,
        )
        await ctx.send(text, allowed_mentions=SAFE_MENTIONS)

    @gpu.command(name="log", description="Write GPU memory status to the log")  # type: ignore[arg-type]
    async def log(self, ctx: commands.Context[commands.Bot]) -> None:
        self._gpu_mm.log_memory_status()
        await ctx.send(
            "📝 GPU memory status was written to the log.", allowed_mentions=SAFE_MENTIONS
        )


def worst_level(devices: Sequence[DeviceMemory], rules: PressureRules) -> Level:
    """The level of the fullest GPU as it stands now."""
    return max(
        (
            next_pressure(None, d.free_bytes, d.total_bytes, rules, 0.0).level
            for d in devices
            if d.snapshot.kind is DeviceKind.CUDA
        ),
        default=Level.NORMAL,
    )
