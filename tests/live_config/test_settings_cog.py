"""``!gpu set`` in Discord."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import simcord
from discord.ext import commands

from cogs.settings import SettingsCog, matching_keys
from danzar.bot import DanzarBot
from danzar.config.bot import DiscordSettings
from danzar.units import GIB
from tests.live_config.world import World


class Group(commands.Cog):
    """Stands for the cog that has the group."""

    @commands.hybrid_group(name="gpu", fallback="help")
    async def gpu(self, ctx: commands.Context) -> None: ...


@dataclass
class Rig:
    env: simcord.Env
    general: object
    person: object
    operator: object


@asynccontextmanager
async def rig(world: World, *, check_errors: bool = True) -> AsyncIterator[Rig]:
    bot = DanzarBot(DiscordSettings())
    bot.planned_cogs = (Group(), SettingsCog(bot, world.live))
    async with simcord.run(bot, check_errors=check_errors) as env:
        guild = env.create_guild()
        role = guild.create_role("Danzar Operator")
        yield Rig(
            env,
            guild.create_text_channel("general"),
            guild.add_member(env.create_user("person")),
            guild.add_member(env.create_user("operator"), roles=[role]),
        )


def shown(r: Rig) -> str:
    message = r.general.last_message
    return " ".join([message.content, *(f"{e.title} {e.description}" for e in message.embeds)])


async def test_an_operator_changes_a_setting_once_it_is_confirmed(world: World) -> None:
    before = world.rules()
    async with rig(world) as r:
        await r.operator.send(r.general, "!gpu set placement.margin 1 GiB")
        assert "`placement.margin`: 256.0 MiB → 1.0 GiB" in shown(r)
        assert world.rules() == before

        await r.operator.click(r.general.last_message, label="Change")

        assert "From now on" in shown(r)
    assert world.manager.scheduler.ledger.book.margins.cuda_bytes == GIB
    assert world.audit[0][0].startswith("operator (")


async def test_what_has_become_wrong_by_the_click_is_refused(world: World) -> None:
    async with rig(world) as r:
        await r.operator.send(r.general, "!gpu set pressure.warning_pct 84")
        await world.live.set("pressure.critical_pct", "80", who="someone else")
        rules = world.rules()

        await r.operator.click(r.general.last_message, label="Change")

        assert "allowed: above warning_pct (84)" in shown(r)
    assert world.rules() == rules


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("!gpu set placement.margn 1 GiB", "did you mean placement.margin?"),
        ("!gpu set placement.margin 12 GB", "is no size"),
        ("!gpu set telemetry.mode none", "restart to apply"),
        ("!gpu set placement.margin", "`value` is missing"),
        ("!gpu set placement.margin 256 MiB", "It is so already"),
    ],
)
async def test_a_refusal_says_why(world: World, command: str, words: str) -> None:
    rules, files = world.rules(), world.files()
    async with rig(world, check_errors=False) as r:
        await r.operator.send(r.general, command)
        text = shown(r)

    assert words in text
    assert world.rules() == rules
    assert world.files() == files


async def test_others_may_not(world: World) -> None:
    rules = world.rules()
    async with rig(world, check_errors=False) as r:
        await r.person.send(r.general, "!gpu set placement.margin 1 GiB")
        text = r.general.last_message.content

    assert "Danzar Operator" in text
    assert world.rules() == rules


def test_keys_are_completed_by_any_part_of_their_name(world: World) -> None:
    config = world.live.config

    assert matching_keys(config, "margin") == ["placement.margin", "placement.host_margin"]
    assert "telemetry.mode" not in matching_keys(config, "mode")
    assert len(matching_keys(config, "")) == 25
