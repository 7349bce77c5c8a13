"""Signs that somebody is about to ask reach the manager; nothing is said, nothing is kept."""

import pytest
from discord.ext import commands

from cogs.hints import LATELY_S, AskedChannels, HintsCog
from danzar.bot import DanzarBot, make_intents
from danzar.config.models import RoleChoice
from danzar.core.prediction_hints import HintKind

PICTURE = ("doom.png", b"\x89PNG not decoded here")


class Manager:
    def __init__(self):
        self.hints = []

    def hint(self, model, kind):
        self.hints.append((model, kind))

    def kinds(self):
        return {kind for _, kind in self.hints}


class Watch(commands.Cog):
    @commands.hybrid_group(name="watch", fallback="help")
    async def watch(self, ctx):
        await ctx.send("how to watch")

    @watch.command(name="status")
    async def status(self, ctx):
        await ctx.send("nothing is watched")


@pytest.fixture
def clock():
    return [0.0]


@pytest.fixture
def manager():
    return Manager()


@pytest.fixture
def simcord_bot(config, manager, clock):
    bot = DanzarBot(config.bot.discord)
    roles = RoleChoice(chat="chat", detect="yolo", rank=None, read="ocr", media="media")
    asked = AskedChannels(lambda: clock[0])
    bot.planned_cogs = (HintsCog(bot, manager, lambda: roles, asked), Watch())
    return bot


async def test_typing_counts_where_danzar_was_asked_lately(alice, bob, channel, me, manager, clock):
    await bob.typing(channel)
    assert manager.hints == []
    await alice.send(channel, f"{me} hello")
    await bob.typing(channel)
    assert manager.hints == [("chat", HintKind.TYPING)]
    clock[0] = LATELY_S + 1
    await bob.typing(channel)
    assert len(manager.hints) == 1


async def test_a_picture_that_somebody_may_ask_about_wakes_the_eyes(
    alice, bob, channel, me, manager
):
    await alice.send(channel, f"{me} hello")
    await bob.send(channel, "look at this", attachments=[PICTURE])
    assert manager.hints == [(name, HintKind.UPLOAD) for name in ("media", "yolo", "ocr", "chat")]


async def test_a_picture_in_a_channel_of_others_is_nobody_s_question(bob, channel, manager):
    await bob.send(channel, "look at this", attachments=[PICTURE])
    assert manager.hints == []


async def test_whoever_asks_how_to_watch_is_about_to(alice, channel, manager):
    await alice.send(channel, "!watch")
    assert manager.kinds() == {HintKind.WATCH}
    assert "yolo" in dict(manager.hints)
    manager.hints.clear()
    await alice.send(channel, "!watch status")
    assert manager.hints == []


async def test_a_person_who_joins_a_voice_channel_may_ask(alice, simcord_env, channel, manager):
    voice = simcord_env.guild.create_voice_channel("game night")
    await alice.join_voice(voice)
    assert manager.hints == [("chat", HintKind.VOICE)]
    await alice.set_voice(self_mute=True)
    assert len(manager.hints) == 1


def test_channels_are_forgotten_when_there_are_too_many():
    asked = AskedChannels(lambda: 0.0)
    for channel_id in range(600):
        asked.note(channel_id)
    assert not asked.is_lately(0)
    assert asked.is_lately(599)


def test_the_bot_hears_what_the_hints_need():
    intents = make_intents()
    assert intents.typing
    assert intents.voice_states
