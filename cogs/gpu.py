"""``!gpu``: the cards, the models on them, why they are there, and what operators may change.

mypy can't infer the types of discord.py's hybrid decorators, hence the ``arg-type`` ignores.
"""

import asyncio
from collections.abc import Sequence

import discord
from discord import app_commands
from discord.ext import commands

from cogs.common import SAFE_MENTIONS, actor_of, operators_only
from cogs.gpu_desk import GpuDesk
from cogs.gpu_graph import DEFAULT_MINUTES, GRAPH_NAME, Graphs
from cogs.gpu_models_render import (
    HISTORY_TITLE,
    LONGEST_TEXT,
    MODELS_TITLE,
    render_evictions,
    render_history,
    render_models,
    render_plan,
    render_reservations,
    render_why,
)
from cogs.gpu_render import (
    STATUS_TITLE,
    VISION_TITLE,
    render_help,
    render_monitor,
    render_status,
    render_vision,
)
from cogs.incidents_render import COLOURS
from cogs.prefetch_render import PREFETCH_TITLE, render_prefetch
from danzar.config.settings import Config
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.pressure import Level, PressureRules, next_pressure
from danzar.explain.plan_explain import explain
from danzar.gpu_memory import GpuMemoryManager
from danzar.monitor import MemoryMonitor

Context = commands.Context[commands.Bot]
_MAX_CHOICES = 25  # Discord's limit


class GpuCog(commands.Cog, name="GPU"):
    """Each command parses, asks and renders; what it asks decides."""

    def __init__(
        self,
        bot: commands.Bot,
        gpu_mm: GpuMemoryManager,
        monitor: MemoryMonitor,
        config: Config,
        desk: GpuDesk,
        graphs: Graphs,
    ) -> None:
        self.bot = bot
        self._gpu_mm = gpu_mm
        self._monitor = monitor
        self._config = config
        self._desk = desk
        self._graphs = graphs

    @commands.hybrid_group(name="gpu", fallback="help", description="GPU memory")  # type: ignore[arg-type]
    async def gpu(self, ctx: Context) -> None:
        """The subcommands."""
        await self._say(ctx, render_help(self._config.bot.discord.command_prefix))

    # --- the cards ---------------------------------------------------------------------------

    @gpu.command(name="status", description="GPU memory of all devices")  # type: ignore[arg-type]
    async def status(self, ctx: Context) -> None:
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
    async def vision(self, ctx: Context) -> None:
        text = render_vision(self._gpu_mm.vision_choice(), self._gpu_mm.devices())
        await self._show(ctx, VISION_TITLE, text)

    @gpu.command(name="monitor", description="Switch GPU memory monitoring on or off")  # type: ignore[arg-type]
    @operators_only()
    async def monitor(self, ctx: Context) -> None:
        enabled = await self._monitor.toggle()
        await self._desk.audit(actor_of(ctx), "gpu.monitor", "on" if enabled else "off")
        text = render_monitor(
            enabled=enabled,
            interval_s=self._monitor.interval_s,
            warning_pct=self._gpu_mm.rules.pressure.warning_pct,
            alert_channel=self._config.bot.discord.alert_channel,
        )
        await self._say(ctx, text)

    @gpu.command(name="log", description="Write GPU memory status to the log")  # type: ignore[arg-type]
    async def log(self, ctx: Context) -> None:
        self._gpu_mm.log_memory_status()
        await self._say(ctx, "📝 GPU memory status was written to the log.")

    @gpu.command(name="graph", description="GPU memory over time, as a picture")  # type: ignore[arg-type]
    @app_commands.describe(minutes="How far back; 10 where nothing is said")
    async def graph(self, ctx: Context, minutes: int = DEFAULT_MINUTES) -> None:
        span = self._graphs.minutes(minutes)
        async with ctx.typing():  # defers a slash command: drawing may have to start a worker
            picture = await self._graphs.draw(span)
        embed = discord.Embed(title=f"📈 The past {span} min")
        embed.set_image(url=f"attachment://{GRAPH_NAME}")
        await ctx.send(embed=embed, file=picture, allowed_mentions=SAFE_MENTIONS)

    # --- the models --------------------------------------------------------------------------

    @gpu.command(name="models", description="Every model: where it is, and what it holds")  # type: ignore[arg-type]
    async def models(self, ctx: Context) -> None:
        await self._show(ctx, MODELS_TITLE, render_models(self._desk.models.models()))

    @gpu.command(name="plan", description="Where a model would go now; touches nothing")  # type: ignore[arg-type]
    @app_commands.describe(model="A name in models.yaml")
    async def plan(self, ctx: Context, model: str) -> None:
        inputs, plan = self._desk.models.plan(self._desk.find(model).name)
        told = await asyncio.to_thread(explain, inputs, plan)
        await self._show(ctx, *render_plan(told, inputs))

    @gpu.command(name="why", description="Why a model is where it is")  # type: ignore[arg-type]
    @app_commands.describe(model="A name in models.yaml")
    async def why(self, ctx: Context, model: str) -> None:
        name = self._desk.find(model).name
        decided = self._desk.models.why(name)
        if decided is None:
            await self._say(ctx, f"Nothing was decided about {name} yet: nobody asked for it.")
            return
        told = await asyncio.to_thread(explain, *decided)
        title, text = render_why(told, decided[0], self._desk.models.now_s() - told.at_s)
        left = render_evictions(name, self._desk.models.decisions)
        await self._show(ctx, title, "\n\n".join(filter(None, (text, left))))

    @gpu.command(name="history", description="What was loaded, evicted and why")  # type: ignore[arg-type]
    async def history(self, ctx: Context) -> None:
        await self._show(ctx, HISTORY_TITLE, render_history(self._desk.models.decisions))

    @gpu.command(name="prefetch", description="What was loaded before anybody asked")  # type: ignore[arg-type]
    async def prefetch(self, ctx: Context) -> None:
        await self._show(ctx, PREFETCH_TITLE, render_prefetch(self._desk.models.prefetches()))

    # --- what operators may change -----------------------------------------------------------

    @gpu.command(name="load", description="Load a model; asks before anything leaves for it")  # type: ignore[arg-type]
    @app_commands.describe(model="A name in models.yaml")
    @operators_only()
    async def load(self, ctx: Context, model: str) -> None:
        await self._desk.load(ctx, model)

    @gpu.command(name="unload", description="Unload a model once it is idle; asks first")  # type: ignore[arg-type]
    @app_commands.describe(model="A name in models.yaml")
    @operators_only()
    async def unload(self, ctx: Context, model: str) -> None:
        await self._desk.unload(ctx, model)

    @gpu.command(name="pin", description="Keep a model loaded whatever happens")  # type: ignore[arg-type]
    @app_commands.describe(model="A name in models.yaml")
    @operators_only()
    async def pin(self, ctx: Context, model: str) -> None:
        await self._say(ctx, await self._desk.pin(ctx, model, pinned=True))

    @gpu.command(name="unpin", description="Let a pinned model go again")  # type: ignore[arg-type]
    @app_commands.describe(model="A name in models.yaml")
    @operators_only()
    async def unpin(self, ctx: Context, model: str) -> None:
        await self._say(ctx, await self._desk.pin(ctx, model, pinned=False))

    @gpu.group(name="reserve", fallback="set", description="Keep GPU memory free for a purpose")  # type: ignore[arg-type]
    @app_commands.describe(device="cuda:0", size="6GB", purpose="games, if nothing is said")
    @operators_only()
    async def reserve(self, ctx: Context, device: str, size: str, purpose: str = "games") -> None:
        await self._desk.reserve(ctx, device, size, purpose)

    @reserve.command(name="list", description="What is kept free, and by whom")  # type: ignore[arg-type]
    async def reserve_list(self, ctx: Context) -> None:
        prefix = self._config.bot.discord.command_prefix
        kept, asked = self._desk.kept()
        await self._show(ctx, "🔒 Kept free", render_reservations(kept, asked, prefix))

    @reserve.command(name="clear", description="Forget what people reserved; asks first")  # type: ignore[arg-type]
    @app_commands.describe(device="cuda:0; without it, all")
    @operators_only()
    async def reserve_clear(self, ctx: Context, device: str | None = None) -> None:
        await self._desk.clear(ctx, device)

    # --- how it is said ----------------------------------------------------------------------

    @plan.autocomplete("model")
    @why.autocomplete("model")
    @load.autocomplete("model")
    @unload.autocomplete("model")
    @pin.autocomplete("model")
    @unpin.autocomplete("model")
    async def _model_names(
        self, _interaction: discord.Interaction, typed: str
    ) -> list[app_commands.Choice[str]]:
        names = (view.name for view in self._desk.models.models())
        found = [name for name in names if typed.casefold() in name.casefold()]
        return [app_commands.Choice(name=name[:100], value=name[:100]) for name in found][
            :_MAX_CHOICES
        ]

    async def _say(self, ctx: Context, text: str) -> None:
        await ctx.send(text, allowed_mentions=SAFE_MENTIONS)

    async def _show(self, ctx: Context, title: str, text: str) -> None:
        embed = discord.Embed(title=title, description=text[:LONGEST_TEXT])
        await ctx.send(embed=embed, allowed_mentions=SAFE_MENTIONS)


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
