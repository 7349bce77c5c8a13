"""A bot with the chat cog over a scripted model, in a simulated Discord with virtual time.

Edits are ten seconds apart here: the simulation lets a wait stand only if it is longer than the
five real seconds in which it expects everything else to be done.
"""

import discord
import pytest

from cogs.chat import ChatCog
from danzar.bot import DanzarBot
from danzar.chat.service import ChatService
from danzar.config.bot import BotConfig
from danzar.config.profile import Profile
from danzar.config.settings import Config
from danzar.inference import Placed
from danzar.inference_fake import ScriptedInference
from danzar.store import Store

EDIT_S = 10.0


class PicturesAsked:
    """Notes what it is asked about pictures."""

    def __init__(self):
        self.asked = []

    async def ask_about_pictures(self, target, asker, pictures, question):
        self.asked.append(([picture.filename for picture in pictures], question))


@pytest.fixture
def inference():
    return ScriptedInference(Placed(model="", device="cuda:0", simulated=True))


@pytest.fixture
async def store(tmp_path):
    async with Store.open(tmp_path / "danzar.sqlite3", keep_messages=100) as opened:
        yield opened


@pytest.fixture
def config(tmp_path):
    chat = {"edit_interval_s": EDIT_S, "persona": "Be kind."}
    return Config(root=tmp_path, bot=BotConfig.model_validate({"chat": chat}))


@pytest.fixture
def chat(inference, store, config):
    return ChatService(inference, store, config.bot.chat, Profile(title="Doom"), model="chat")


@pytest.fixture
def pictures():
    return PicturesAsked()


@pytest.fixture
def simcord_bot(chat, config, pictures):
    bot = DanzarBot(config.bot.discord)
    # The replies' own safety is tested here, not the bot's, which would hide a lack of it.
    bot.allowed_mentions = discord.AllowedMentions.all()
    bot.planned_cogs = (ChatCog(bot, chat, config, pictures),)
    return bot


@pytest.fixture
def channel(simcord_env):
    return simcord_env.create_guild().create_text_channel("general")


@pytest.fixture
def alice(simcord_env, channel):
    return simcord_env.guild.add_member(simcord_env.create_user("alice"))


@pytest.fixture
def bob(simcord_env, channel):
    return simcord_env.guild.add_member(simcord_env.create_user("bob"))


@pytest.fixture
def me(simcord_env):
    """The bot's mention."""
    return f"<@{simcord_env.bot.user.id}>"
