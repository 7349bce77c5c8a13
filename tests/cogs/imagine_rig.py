"""A bot with the imagine cog over scripted models, in a simulated Discord with virtual time."""

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import discord
import simcord

from cogs.imagine import ImagineCog
from danzar.bot import DanzarBot
from danzar.config.bot import BotConfig
from danzar.config.models import ModelEntry, ModelsConfig, RoleChoice
from danzar.config.settings import Config
from danzar.inference import Placed
from danzar.inference_fake import ScriptedInference
from danzar.pictures.png import as_file
from danzar.pictures.service import Parts, PictureService
from danzar.workers.contract import (
    GeneratedImages,
    GeneratedVideo,
    GenerateImages,
    GenerateVideo,
    Picture,
    StepDone,
)

EDIT_S = 10.0
MODELS = {
    "media": ModelEntry(backend="media", role="media"),
    "painter": ModelEntry(backend="echo", role="imagine"),
    "filmer": ModelEntry(backend="echo", role="video"),
}
PREVIEW = Picture(8, 8, "rgb", bytes(8 * 8 * 3))


def png(width, height, shade=0):
    return as_file(Picture(width, height, "rgb", bytes([shade]) * (width * height * 3)))[0]


def paints(request):
    """The script of a model that makes what is asked, in two steps a picture."""
    count = request.count
    shade = (request.seed or 0) % 256
    pictures = tuple(
        Picture(request.width, request.height, "png", png(request.width, request.height, shade + n))
        for n in range(count)
    )
    steps = [StepDone(n, 2 * count, PREVIEW) for n in range(1, 2 * count + 1)]
    return [*steps, GeneratedImages(pictures, request.seed)]


def films(request):
    end = GeneratedVideo(
        b"mp4", request.width, request.height, request.frames, request.fps, request.seed
    )
    return [StepDone(1, 1), end]


class Painters(ScriptedInference):
    """One model for pictures, one for videos."""

    def __init__(self):
        super().__init__(Placed(model="", device="cuda:1", simulated=True))
        self.on("painter", GenerateImages, paints)
        self.on("filmer", GenerateVideo, films)

    def replace(self, *script):
        """Do this with pictures instead."""
        self._scripts["painter", GenerateImages] = list(script)


@dataclass
class ImagineRig:
    """Everything that a test of pictures in Discord touches."""

    env: simcord.Env
    models: Painters
    guild: Any
    channel: Any
    alice: Any
    bob: Any
    operator: Any
    audited: list = field(default_factory=list)

    def answers(self, channel=None):
        messages = (channel or self.channel).history()
        return [m for m in messages if m.author.id == self.env.bot.user.id]

    async def settle(self):
        await self.env.advance_time(3 * EDIT_S)

    async def imagine(self, words, who=None):
        await (who or self.alice).send(self.channel, f"!imagine {words}")
        await self.settle()
        return self.answers()[-1]

    def last_request(self):
        return self.models.requests(GenerateImages)[-1]


def imagine_config(root, *, roles=None, **rules) -> Config:
    chosen = dict.fromkeys(("chat", "detect", "rank", "read"))
    chosen |= {"imagine": "painter", "video": "filmer", **(roles or {})}
    rules = {"progress_interval_s": EDIT_S, "preview_interval_s": EDIT_S, **rules}
    return Config(
        root=root,
        bot=BotConfig.model_validate({"imagine": rules}),
        models=ModelsConfig(use=RoleChoice.model_validate(chosen), models=MODELS),
    )


@asynccontextmanager
async def imagine_rig(tmp_path, config=None, **parts):
    config = config or imagine_config(tmp_path)
    models, audited = Painters(), []

    async def audit(actor, action, detail):
        audited.append((actor, action, detail))

    service = PictureService(Parts(models, **parts), config)
    bot = DanzarBot(config.bot.discord)
    bot.planned_cogs = (ImagineCog(bot, service, config, audit),)
    env = simcord.Env(bot)
    await env.start()
    try:
        guild = env.create_guild()
        operators = guild.create_role(
            "Danzar Operator", permissions=discord.Permissions(manage_messages=True)
        )
        yield ImagineRig(
            env=env,
            models=models,
            guild=guild,
            channel=guild.create_text_channel("general"),
            alice=guild.add_member(env.create_user("alice")),
            bob=guild.add_member(env.create_user("bob")),
            operator=guild.add_member(env.create_user("operator"), roles=[operators]),
            audited=audited,
        )
    finally:
        await env.shutdown()
