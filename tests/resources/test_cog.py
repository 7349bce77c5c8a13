"""``!gpu estimate`` in Discord."""

import pytest
import simcord

from cogs.gpu_resources import ResourcesCog, parse_params, render_preflight
from danzar.bot import DanzarBot
from danzar.config.bot import DiscordSettings
from danzar.errors import BadInput
from danzar.resources.manager import Parts, ResourceManager
from tests.live_config.test_settings_cog import Group
from tests.resources.rig import Machine, room


@pytest.fixture
def resources(tmp_path):
    return ResourceManager(Parts(Machine((room("cuda:0", 11.0),)), tmp_path))


async def ask(resources, text, *, check_errors=True):
    bot = DanzarBot(DiscordSettings())
    bot.planned_cogs = (Group(), ResourcesCog(bot, resources))
    async with simcord.run(bot, check_errors=check_errors) as env:
        guild = env.create_guild()
        channel = guild.create_text_channel("general")
        await guild.add_member(env.create_user("person")).send(channel, text)
        return "\n".join(m.content for m in channel.history() if m.author.bot)


async def test_anyone_may_ask_what_a_video_takes(resources):
    told = await ask(resources, "!gpu estimate ti2v 720p 4s")
    assert "ti2v-5B 1280x704, 97 frames, 50 steps: " in told
    assert "🔧 It fits on cuda:0 with " in told
    assert "- vae_tiling off -> on (loss: none): " in told


async def test_a_misspelt_model_is_told_with_the_nearest_one(resources):
    told = await ask(resources, "!gpu estimate sdxxl", check_errors=False)
    assert "did you mean sdxl" in told


async def test_what_does_not_fit_says_so(tmp_path):
    small = ResourceManager(Parts(Machine((room("cuda:0", 1.0),), room("cpu", 4.0)), tmp_path))
    assert "❌ Wan2.2 T2V-A14B does not fit" in await ask(small, "!gpu estimate t2v")


def test_seconds_are_read_with_and_without_their_letter():
    assert parse_params("t2v", "720p", "4s") == parse_params("t2v", "720p", " 4 ")
    with pytest.raises(BadInput, match="write the seconds"):
        parse_params("t2v", None, "long")


async def test_the_longest_answer_fits_a_message(resources):
    found = await resources.preflight({"model_type": "ti2v", "batch": 8, "lora": 2})
    assert len(render_preflight(found)) <= 2000
