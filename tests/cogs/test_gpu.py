import logging

import discord

from danzar.telemetry.simulated import SimulatedCard
from danzar.units import GIB
from tests.cogs.gpu_rig import gpu_rig


async def test_status_shows_both_cards_with_the_seeds_fields():
    async with gpu_rig() as rig:
        rig.ledger.claim("chat", "chat", rig.cards.uuids[0], 6 * GIB)
        await rig.person.send(rig.general, "!gpu status")
        (embed,) = rig.general.last_message.embeds
    assert embed.title == "🎯 GPU Memory Status:"
    assert embed.footer.text == "Monitoring is on"
    assert embed.colour == discord.Colour.green()
    assert "Device 0 (RTX 4070, simulated):" in embed.description
    assert "Device 1 (RTX 4070 SUPER, simulated):" in embed.description
    for field in ("Allocated", "Reserved", "Free", "Total", "Utilization"):
        assert embed.description.count(f"📊 {field}: ") == 2
    assert "🤖 Danzar: chat 6.0GB (claimed)" in embed.description
    assert "💡 Recommendations:\n  • All GPU devices have adequate memory" in embed.description


async def test_status_shows_what_other_programs_hold():
    async with gpu_rig() as rig:
        await rig.occupy(1, 11 * GIB)
        await rig.person.send(rig.general, "!gpu status")
        (embed,) = rig.general.last_message.embeds
    assert "🎮 Others: 11.2GB (game.exe (pid 812) 11.0GB)" in embed.description
    assert "Close game.exe (pid 812)" in embed.description
    assert embed.colour == discord.Colour.red()


async def test_slash_and_prefix_are_one_function():
    async with gpu_rig() as rig:
        result = await rig.person.slash(rig.general, "gpu vision")
        await rig.person.send(rig.general, "!gpu vision")
        (embed,) = rig.general.last_message.embeds
    assert embed.title == "👁️ Best Vision Device:"
    assert embed.description.startswith("Device: cuda:1 (simulated)\nReason: Device 1 (RTX 4070 ")
    assert result.response.embeds[0].description == embed.description


async def test_sixty_four_cards_are_one_valid_message():
    cards = tuple(SimulatedCard("NVIDIA H200 NVL", 141 * GIB) for _ in range(64))
    async with gpu_rig(cards=cards) as rig:
        await rig.person.send(rig.general, "!gpu status")
        (embed,) = rig.general.last_message.embeds
        assert "63 H200 NVL" in embed.description
        await rig.person.send(rig.general, "!gpu vision")
        assert rig.general.last_message.embeds[0].description.startswith("Device: cuda:1")


async def test_an_operator_switches_the_monitor_both_ways():
    async with gpu_rig() as rig:
        await rig.operator.send(rig.general, "!gpu monitor")
        assert rig.general.last_message.content.startswith("⏹️ GPU memory monitoring is off.")
        assert not rig.monitor.is_enabled
        result = await rig.operator.slash(rig.general, "gpu monitor")
        assert result.response.content.startswith(
            "▶️ GPU memory monitoring is on: a check every 30 s"
        )
        assert rig.monitor.is_enabled


async def test_others_may_not_switch_the_monitor_but_may_look():
    # The refusal is a check's failure, which simcord would report as an error of the bot.
    async with gpu_rig(check_errors=False) as rig:
        await rig.person.send(rig.general, "!gpu monitor")
        assert "Danzar Operator" in rig.general.last_message.content
        assert rig.monitor.is_enabled
        result = await rig.person.slash(rig.general, "gpu monitor")
        assert "Danzar Operator" in result.response.content
        assert rig.monitor.is_enabled


async def test_log_writes_the_figures_to_the_log(caplog):
    async with gpu_rig() as rig:
        with caplog.at_level(logging.INFO, logger="danzar.gpu_memory"):
            await rig.person.send(rig.general, "!gpu log")
        assert rig.general.last_message.content == "📝 GPU memory status was written to the log."
    assert any("Device 1 (RTX 4070 SUPER, simulated) allocated=" in m for m in caplog.messages)


async def test_the_bare_group_names_its_commands():
    async with gpu_rig() as rig:
        await rig.person.send(rig.general, "!gpu")
        content = rig.general.last_message.content
    for command in ("status", "vision", "monitor", "log"):
        assert f"!gpu {command}" in content
