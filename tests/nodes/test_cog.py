"""``!gpu nodes`` in Discord."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import simcord

from cogs.gpu_nodes import NodesCog
from cogs.gpu_nodes_render import LONGEST_TEXT, render_nodes
from danzar.bot import DanzarBot
from danzar.config.bot import DiscordSettings
from danzar.errors import ModelMissing
from danzar.nodes.choice import Fit, Offer, ranked
from danzar.nodes.standing import Member, Standing, offers
from tests.live_config.test_settings_cog import Group, shown
from tests.nodes.makers import device, member, model


class Known:
    """Nodes as a test has them."""

    def __init__(self, *members: Member) -> None:
        self._members = members

    def all(self) -> tuple[Member, ...]:
        return self._members

    def models(self) -> frozenset[str]:
        return frozenset(m.name for x in self._members for m in x.state.models)

    def plan(self, name: str) -> tuple[Offer, ...]:
        found = offers(name, self._members)
        if not found:
            raise ModelMissing(f"no node knows the model {name!r}; known: chat")
        return ranked(name, found)


@dataclass
class Room:
    env: simcord.Env
    general: object
    person: object


@asynccontextmanager
async def room(*members: Member) -> AsyncIterator[Room]:
    bot = DanzarBot(DiscordSettings())
    bot.planned_cogs = (Group(), NodesCog(bot, Known(*members), head_start_s=2.0))
    async with simcord.run(bot, check_errors=False) as env:
        guild = env.create_guild()
        general = guild.create_text_channel("general")
        yield Room(env, general, guild.add_member(env.create_user("person")))


PC1 = member("pc1", model("chat", Fit.LOADED, jobs=2), jobs=2)
PC2 = member(
    "pc2",
    model("chat", Fit.FREE, 8),
    standing=Standing.DRAINING,
    since_s=12.0,
    devices=(device(total_bytes=8 << 30, simulated=False, name="GeForce RTX 3060"),),
)
PC3 = member("pc3", standing=Standing.LOST, since_s=312.0)


async def test_all_machines_are_shown_with_cards_models_and_how_they_stand() -> None:
    async with room(PC1, PC2, PC3) as r:
        await r.person.send(r.general, "!gpu nodes")

        text = shown(r)
        assert "🟢 **pc1: alive for 45 s, 2 jobs**" in text
        assert "cuda:0 RTX 3060 (simulated): 2.0GB of 12.0GB in use, room for 9.0GB" in text
        assert "chat (ready on cuda:0, 1.0GB, 2 running)" in text
        assert "🟡 **pc2: draining for 12 s**" in text
        assert "cuda:0 RTX 3060: 2.0GB of 8.0GB in use" in text
        assert "🔴 **pc3: lost for 5 min 12 s**" in text


async def test_a_plan_says_which_machine_takes_a_model_and_why() -> None:
    alive = member("pc2", model("chat", Fit.FREE, 8))
    async with room(PC1, alive) as r:
        await r.person.send(r.general, "!gpu nodes CHAT")

        first, second = shown(r).splitlines()[-2:]
        assert "1. pc1 takes jobs at once: has it on cuda:0" in first
        assert "2. pc2 takes jobs that waited 2 s: has room for it on cuda:0" in second


async def test_a_model_that_no_machine_knows_is_answered_with_those_known() -> None:
    async with room(PC1) as r:
        await r.person.send(r.general, "!gpu nodes qwen")

        assert "no node knows the model 'qwen'; known: chat" in shown(r)


async def test_the_slash_command_is_the_same() -> None:
    async with room(PC1) as r:
        await r.person.slash(r.general, "gpu nodes")

        assert "pc1: alive" in shown(r)


def test_many_machines_fit_into_one_message() -> None:
    loaded = [model(f"model-{n}", Fit.LOADED) for n in range(9)]
    many = [member(f"pc{n}", *loaded) for n in range(40)]

    text = render_nodes(many)

    assert len(text) <= LONGEST_TEXT
    assert all(f"pc{n}:" in text for n in range(40))


def test_before_any_machine_is_known_it_says_so() -> None:
    assert "No machine is known yet" in render_nodes([])
