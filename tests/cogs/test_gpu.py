import logging

import discord

from cogs.incidents import AlertsPoster, find_alert_channel, find_alert_role
from danzar.bot import DanzarBot
from danzar.config.bot import DiscordSettings
from danzar.telemetry.simulated import SimulatedCard
from danzar.units import GIB
from tests.cogs.gpu_rig import SETTINGS, gpu_rig


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


# --- alerts in the channel -----------------------------------------------------------------


async def test_one_incident_is_one_message_that_develops_and_closes():
    async with gpu_rig() as rig:
        await rig.occupy(1, round(10.7 * GIB))
        await rig.monitor.check()
        opened = rig.alerts.last_message
        assert opened.embeds[0].description.startswith("⚠️ High GPU utilization: Device 1")
        await rig.occupy(1, round(11.5 * GIB))
        await rig.monitor.check()
        assert rig.alerts.last_message.embeds[0].description.startswith("🚨 GPU memory nearly full")
        await rig.occupy(1, 0)
        await rig.monitor.check()
        closed = rig.alerts.last_message
        assert closed.id == opened.id
        assert closed.embeds[0].description.startswith("✅ Back to normal: Device 1")
        assert "It lasted" in closed.embeds[0].description
        assert closed.embeds[0].footer.text == "Incident 1 · closed"
        assert len(rig.alerts.history()) == 1


async def test_an_alert_mentions_the_configured_role_and_no_one_else():
    async with gpu_rig(DiscordSettings(alert_role="Night Watch")) as rig:
        await rig.occupy(1, round(11.5 * GIB), name="@everyone @here <@&1>")
        await rig.monitor.check()
        message = rig.alerts.last_message
        assert [role.name for role in message.role_mentions] == ["Night Watch"]
        assert not message.mention_everyone
        assert "@everyone" not in message.embeds[0].description


async def test_the_channel_and_the_role_may_be_named_by_their_ids():
    async with gpu_rig() as rig:
        channel = find_alert_channel(rig.bot, str(rig.general.id))
        assert channel.name == "general"
        assert find_alert_channel(rig.bot, "#alerts").name == "alerts"
        (guild,) = rig.bot.guilds
        watch = next(r for r in guild.roles if r.name == "Night Watch")
        assert find_alert_role(guild, str(watch.id)) == watch
        assert find_alert_role(guild, "everyone") is None
        assert find_alert_role(guild, "@everyone") is None
        assert find_alert_role(guild, str(guild.default_role.id)) is None


async def test_a_deleted_message_is_posted_again():
    async with gpu_rig() as rig:
        await rig.occupy(1, round(10.7 * GIB))
        await rig.monitor.check()
        await rig.alerts.last_message.delete()
        await rig.occupy(1, round(11.5 * GIB))
        await rig.monitor.check()
        assert "nearly full" in rig.alerts.last_message.embeds[0].description


async def test_without_the_channel_the_alert_is_in_the_log_only(caplog):
    async with gpu_rig(DiscordSettings(alert_channel="nowhere")) as rig:
        await rig.occupy(1, round(11.5 * GIB))
        await rig.monitor.check()
        assert rig.alerts.last_message is None
    assert "there is no channel 'nowhere' for alerts" in caplog.text


async def test_with_alerts_off_nothing_is_posted(caplog):
    async with gpu_rig(DiscordSettings(alert_channel=None)) as rig:
        await rig.occupy(1, round(11.5 * GIB))
        await rig.monitor.check()
        assert rig.alerts.last_message is None
    assert "no channel" not in caplog.text


async def test_an_alert_that_discord_refused_is_delivered_when_the_bot_is_back(caplog):
    async with gpu_rig() as rig:
        rig.env.inject_error("POST", "/channels/*/messages", status=400)
        await rig.occupy(1, round(10.7 * GIB))
        await rig.monitor.check()
        assert rig.alerts.last_message is None
        assert "Discord did not take it" in caplog.text
        rig.bot.dispatch("ready")
        await rig.env.settle()
        message = rig.alerts.last_message
        assert "High GPU utilization" in message.embeds[0].description


async def test_an_alert_that_is_forbidden_is_not_tried_for_ever(caplog):
    async with gpu_rig() as rig:
        rig.env.inject_error("POST", "/channels/*/messages", status=403)
        await rig.occupy(1, round(10.7 * GIB))
        await rig.monitor.check()
        rig.bot.dispatch("ready")
        await rig.env.settle()
        assert rig.alerts.last_message is None
    assert "may not post alerts" in caplog.text


async def test_an_alert_before_the_bot_is_online_waits(caplog):
    async with gpu_rig() as rig:
        await rig.occupy(1, round(10.7 * GIB))
        (alert,) = await rig.monitor.check()
        offline = AlertsPoster(DanzarBot(SETTINGS), SETTINGS)
        await offline.post(alert)
    assert "Discord did not take it" not in caplog.text
    assert "no channel" not in caplog.text
