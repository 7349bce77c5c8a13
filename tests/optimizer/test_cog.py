"""``!gpu optimize``, ``!gpu batch`` and ``!gpu audit`` in Discord."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest
import simcord

from cogs.gpu_optimizer import OptimizerCog, parse_batch
from danzar.bot import DanzarBot
from danzar.config.bot import DiscordSettings
from danzar.errors import BadInput
from danzar.optimizer.desk import OptimizerDesk
from danzar.store import AuditEntry
from tests.live_config.test_settings_cog import Group, shown
from tests.live_config.world import World
from tests.optimizer.rig import Rig, make_rig, view


@dataclass
class Room:
    env: simcord.Env
    general: object
    person: object
    operator: object
    rig: Rig
    audit: list[tuple[str, str, str]]


@asynccontextmanager
async def room(world: World, *, check_errors: bool = True) -> AsyncIterator[Room]:
    rig, bot = make_rig(), DanzarBot(DiscordSettings())

    async def audit(who: str, action: str, detail: str) -> None:
        world.audit.append((who, action, detail))

    async def read(limit: int) -> tuple[AuditEntry, ...]:
        return tuple(AuditEntry(*line, 0.0) for line in world.audit[-limit:])

    desk = OptimizerDesk(rig.optimizer, world.live, audit)
    bot.planned_cogs = (Group(), OptimizerCog(bot, desk, read))
    async with simcord.run(bot, check_errors=check_errors) as env:
        guild = env.create_guild()
        role = guild.create_role("Danzar Operator")
        yield Room(
            env,
            guild.create_text_channel("general"),
            guild.add_member(env.create_user("person")),
            guild.add_member(env.create_user("operator"), roles=[role]),
            rig,
            world.audit,
        )


async def test_an_operator_optimizes_and_it_is_audited_by_name(world: World) -> None:
    async with room(world) as r:
        await r.operator.send(r.general, "!gpu optimize")

        assert "120MB freed" in shown(r)
        assert r.audit[0][0].startswith("operator (")
        assert r.audit[0][1] == "optimizer.optimize"


async def test_a_batch_size_is_set_once_it_is_confirmed(world: World) -> None:
    async with room(world) as r:
        await r.operator.send(r.general, "!gpu batch 4")
        assert "Batch: auto → 4" in shown(r)
        assert r.rig.models.fixed == []

        await r.operator.click(r.general.last_message, label="Change")

        assert r.rig.models.fixed == [4]
        assert "auto (8 now) → 4" in shown(r)


async def test_a_batch_that_does_not_fit_is_refused_with_the_numbers(world: World) -> None:
    async with room(world) as r:
        r.rig.models.views = [view(4, limit=6)]
        await r.operator.send(r.general, "!gpu batch 7")
        await r.operator.click(r.general.last_message, label="Change")

        assert "has room for 6" in shown(r)
        assert r.rig.models.fixed == []


async def test_without_a_number_it_shows_what_is_so(world: World) -> None:
    async with room(world) as r:
        await r.operator.send(r.general, "!gpu batch")

        assert "Pictures at once: **8** (strategy balanced)" in shown(r)


async def test_the_audit_is_read_in_the_channel(world: World) -> None:
    async with room(world) as r:
        await r.operator.send(r.general, "!gpu optimize")
        await r.operator.send(r.general, "!gpu audit")

        assert "optimizer.optimize" in shown(r)


@pytest.mark.parametrize("command", ["optimize", "batch 4", "batch", "audit"])
async def test_others_may_not(world: World, command: str) -> None:
    async with room(world, check_errors=False) as r:
        await r.person.send(r.general, f"!gpu {command}")

        assert "Danzar Operator" in shown(r)
        assert r.rig.models.fixed == []
        assert r.audit == []


def test_what_is_no_number_is_refused() -> None:
    assert parse_batch(" 8 ") == 8
    assert parse_batch("AUTO") is None
    for text in ("eight", "-1", "1.5", "²", ""):
        with pytest.raises(BadInput, match="write a number"):
            parse_batch(text)
