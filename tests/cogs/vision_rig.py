"""A bot with the vision and watch cogs over scripted models, in a simulated Discord."""

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass

import simcord

from cogs.vision import VisionCog
from cogs.watch import WatchCog
from danzar.bot import DanzarBot
from danzar.chat.service import ChatService
from danzar.config.bot import BotConfig
from danzar.config.models import ModelsConfig, RoleChoice
from danzar.config.profile import Profile
from danzar.config.settings import Config
from danzar.core.asker import NOBODY
from danzar.inference import Outcome, Placed
from danzar.inference_fake import ScriptedInference, says
from danzar.store import Store
from danzar.vision.service import VisionService
from danzar.vision.watch import WatchService
from danzar.workers.contract import (
    Annotate,
    AnnotatedPicture,
    Capture,
    CaptureEnded,
    DecodedPicture,
    DecodePicture,
    Detect,
    DetectedBatch,
    DetectedObject,
    Frame,
    Generate,
    Picture,
    Rank,
    RankedBatch,
    RankedConcept,
    ReadLine,
    ReadText,
    TextBatch,
)

EDIT_S = 10.0
SMALL = Picture(100, 50, "rgb", bytes(100 * 50 * 3))
ENEMY = DetectedObject("enemy", 0.93, (10.0, 5.0, 30.0, 45.0))
HEALTH = ReadLine("34%", 0.99, (30.0, 42.0, 40.0, 48.0))
PROFILE = Profile.model_validate(
    {
        "title": "Doom",
        "concepts": ["an enemy in sight", "no enemy in sight"],
        "hud": {"health": {"region": [0.2, 0.8, 0.5, 1.0], "pattern": r"(\d{1,3})\s*%"}},
        "rules": [
            {
                "name": "health low",
                "when": {"kind": "hud_below", "field": "health", "below": 40},
                "frames": 1,
                "message": "Health is low @everyone!",
            }
        ],
    }
)


class Models(ScriptedInference):
    """See an enemy and a health of 34 in everything; captures give what a test puts in."""

    def __init__(self):
        super().__init__(Placed(model="", device="cuda:1", simulated=True))
        self.captures = {}
        self.on("media", DecodePicture, [DecodedPicture(SMALL, 200, 100, 1)])
        self.on("media", Annotate, [AnnotatedPicture(Picture(100, 50, "jpeg", b"jpeg"))])
        self.on("detect", Detect, lambda r: [DetectedBatch(((ENEMY,),) * len(r.pictures))])
        self.on("rank", Rank, lambda r: [RankedBatch((_ranked(),) * len(r.pictures))])
        self.on("read", ReadText, [TextBatch(((HEALTH,),))])
        self.on("chat", Generate, says("Yes, ", "it is low."))

    def replace(self, model, kind, *script):
        """Do this instead of what was said before."""
        self._scripts[model, kind] = list(script)

    async def stream(self, model, request, *, asker=NOBODY, on_position=None):
        if not isinstance(request, Capture):
            async for item in super().stream(model, request, asker=asker, on_position=on_position):
                yield item
            return
        placed = Placed(model, "cpu", simulated=False)
        yield placed
        for item in self.captures[request.target]:
            if isinstance(item, str):
                yield Outcome(CaptureEnded(item, 1), placed, 1.0, 0.0)
                return
            yield item
            await asyncio.sleep(0)
        await asyncio.sleep(1e6)


def _ranked():
    return (RankedConcept("an enemy in sight", 0.8), RankedConcept("no enemy in sight", 0.2))


def frame():
    return Frame(SMALL, 1.5, 0)


@dataclass
class VisionRig:
    """Everything that a test of vision in Discord touches."""

    env: simcord.Env
    models: Models
    guild: object
    channel: object
    alerts: object
    alice: object
    operator: object
    role: object

    def answers(self, channel=None):
        messages = (channel or self.channel).history()
        return [m for m in messages if m.author.id == self.env.bot.user.id]

    async def settle(self):
        await self.env.advance_time(3 * EDIT_S)


def vision_config(root, *, chat="chat", **bot) -> Config:
    roles = RoleChoice(chat=chat, detect="detect", rank="rank", read="read", media="media")
    bot = {"chat": {"edit_interval_s": EDIT_S}, "watch": {"batch_wait_s": 0}, **bot}
    return Config(
        root=root,
        bot=BotConfig.model_validate({"profiles": {"doom": PROFILE}, **bot}),
        models=ModelsConfig(use=roles),
    )


@asynccontextmanager
async def _running(bot):
    """Like ``simcord.run``, but may be entered and left by a fixture's two tasks."""
    env = simcord.Env(bot)
    await env.start()
    try:
        yield env
    finally:
        await env.shutdown()


@asynccontextmanager
async def vision_rig(tmp_path, config=None, *, alert_channel="alerts"):
    config = config or vision_config(tmp_path)
    models = Models()
    async with (
        Store.open(tmp_path / "danzar.sqlite3", keep_messages=100) as store,
        VisionService(models, config) as vision,
        WatchService(models, vision, config) as watches,
    ):
        chat = ChatService(models, store, config.bot.chat, PROFILE, model=config.models.use.chat)
        bot = DanzarBot(config.bot.discord)
        watch = WatchCog(bot, watches, config, store.audit)
        bot.planned_cogs = (VisionCog(bot, vision, chat, config), watch)
        async with _running(bot) as env:
            guild = env.create_guild()
            operators = guild.create_role("Danzar Operator")
            yield VisionRig(
                env=env,
                models=models,
                guild=guild,
                role=guild.create_role("Night Watch"),
                channel=guild.create_text_channel("general"),
                alerts=guild.create_text_channel(alert_channel),
                alice=guild.add_member(env.create_user("alice")),
                operator=guild.add_member(env.create_user("operator"), roles=[operators]),
            )
