"""Incidents in a simulated Discord: one message each, whatever happens."""

import pytest

from cogs.incidents import AlertsPoster, find_alert_channel, find_alert_role
from danzar.bot import DanzarBot
from danzar.broker.decision import DecisionKind, make_decision
from danzar.config.bot import DiscordSettings
from danzar.core.incident import IncidentRules
from danzar.core.pressure import Level
from danzar.units import GIB
from tests.cogs.gpu_rig import SETTINGS, gpu_rig

PATIENT = IncidentRules(tell_after_s=10.0, calm_s=60.0, reopen_s=900.0)
FULL, WORSE = round(10.7 * GIB), round(11.5 * GIB)


def embed_of(rig):
    return rig.alerts.last_message.embeds[0]


def fields_of(rig):
    return {field.name: field.value for field in embed_of(rig).fields}


def labels_of(message):
    return [button.label for row in message.components for button in row.children]


async def test_one_incident_is_one_message_that_develops_and_closes():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check(0)
        opened = rig.alerts.last_message
        assert embed_of(rig).description.startswith("⚠️ High GPU utilization: Device 1")
        await rig.occupy(1, WORSE)
        await rig.check(30)
        assert embed_of(rig).description.startswith("🚨 GPU memory nearly full")
        await rig.occupy(1, 0)
        await rig.check(300)
        assert rig.alerts.last_message.id == opened.id
        assert embed_of(rig).description.startswith("✅ Back to normal: Device 1")
        assert embed_of(rig).description.endswith("It lasted 5 min 0 s.")
        assert embed_of(rig).footer.text == "Incident 1 · closed"
        assert fields_of(rig)["What it was"].startswith("GPU memory nearly full: Device 1")
        steps = fields_of(rig)["Course"].split(" → ")
        assert [step.split(" ", 1)[1] for step in steps] == [
            "warning",
            "about to run out (worst)" if "run out" in steps[1] else "critical (worst)",
            "calm",
        ]
        assert len(rig.alerts.history()) == 1


async def test_the_message_names_the_process_that_grew_and_by_how_much():
    async with gpu_rig() as rig:
        await rig.occupy(1, 2 * GIB, name="browser")
        await rig.check(0)
        rig.cards.set_foreign(rig.cards.uuids[1], 900, "game.exe", 9 * GIB)
        await rig.models.look()
        await rig.check(40)
        assert fields_of(rig)["Who grew"] == (
            "game.exe (pid 900) grew by 9.0GB in 40 s, to 9.0GB (simulated card)"
        )


async def test_what_made_way_is_told_in_the_message():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        at_s = rig.clock.both().now.timestamp()
        rig.models.decisions = (
            make_decision(at_s, DecisionKind.YIELD, "yolo", "makes way for game.exe", "cuda:1"),
            make_decision(at_s, DecisionKind.YIELD, "chat", "makes way for others", "cuda:0"),
        )
        await rig.check(5)
        done = fields_of(rig)["What was done"]
        assert "unload yolo on cuda:1: makes way for game.exe" in done
        assert "chat" not in done


async def test_twenty_flaps_are_one_message_that_says_so():
    async with gpu_rig(rules=PATIENT) as rig:
        for flap in range(20):
            await rig.occupy(1, FULL)
            await rig.check(60 * flap)
            await rig.check(60 * flap + 15)
            await rig.occupy(1, 0)
            await rig.check(60 * flap + 30)
        assert len(rig.alerts.history()) == 1
        assert fields_of(rig)["Flapping"].startswith("It comes and goes: 20 times so far.")
        assert embed_of(rig).footer.text == "Incident 1 · calming down"
        await rig.check(60 * 19 + 90)
        assert embed_of(rig).footer.text == "Incident 1 · closed"
        assert fields_of(rig)["Flapping"].startswith("It came and went: 20 times so far.")
        assert len(rig.alerts.history()) == 1


async def test_a_blip_gets_no_message_and_is_recorded():
    async with gpu_rig(rules=PATIENT) as rig:
        await rig.occupy(1, FULL)
        await rig.check(0)
        await rig.occupy(1, 0)
        await rig.check(5)
        await rig.check(100)
        assert rig.alerts.last_message is None
        (record,) = rig.book.recent_incidents
        assert (record.told, record.worst, record.lasted_s(rig.book.now())) == (
            False,
            Level.WARNING,
            5.0,
        )


# --- who is mentioned -----------------------------------------------------------------------


async def test_an_alert_mentions_the_configured_role_once_and_no_one_else():
    async with gpu_rig(DiscordSettings(alert_role="Night Watch")) as rig:
        await rig.occupy(1, FULL, name="@everyone @here <@&1> **x** `y` http://a.b")
        await rig.check()
        message = rig.alerts.last_message
        assert [role.name for role in message.role_mentions] == ["Night Watch"]
        assert not message.mention_everyone
        for name in ("@everyone", "@here", "**x**", "`y`", "http://"):
            assert name not in str(message.embeds[0].to_dict())
        await message.delete()
        await rig.occupy(1, WORSE)
        await rig.check()
        assert rig.alerts.last_message.role_mentions == []


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


# --- when Discord is not there --------------------------------------------------------------


async def test_a_deleted_message_is_posted_again():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check()
        await rig.alerts.last_message.delete()
        await rig.occupy(1, WORSE)
        await rig.check()
        assert "nearly full" in embed_of(rig).description


async def test_without_the_channel_the_alert_is_in_the_log_only(caplog):
    async with gpu_rig(DiscordSettings(alert_channel="nowhere")) as rig:
        await rig.occupy(1, WORSE)
        await rig.check()
        assert rig.alerts.last_message is None
    assert "there is no channel 'nowhere' for alerts" in caplog.text


async def test_with_alerts_off_nothing_is_posted(caplog):
    async with gpu_rig(DiscordSettings(alert_channel=None)) as rig:
        await rig.occupy(1, WORSE)
        await rig.check()
        assert rig.alerts.last_message is None
    assert "no channel" not in caplog.text


async def test_an_alert_that_discord_refused_is_delivered_when_the_bot_is_back(caplog):
    async with gpu_rig() as rig:
        rig.env.inject_error("POST", "/channels/*/messages", status=400)
        await rig.occupy(1, FULL)
        await rig.check()
        assert rig.alerts.last_message is None
        assert "Discord did not take it" in caplog.text
        await rig.poster.deliver()
        assert rig.alerts.last_message is None  # not at once again
        rig.bot.dispatch("ready")
        await rig.env.settle()
        assert "High GPU utilization" in embed_of(rig).description


async def test_an_alert_that_is_forbidden_is_not_tried_for_ever(caplog):
    async with gpu_rig() as rig:
        rig.env.inject_error("POST", "/channels/*/messages", status=403)
        await rig.occupy(1, FULL)
        await rig.check()
        await rig.check()
        assert rig.alerts.last_message is None
    assert caplog.text.count("may not post alerts") == 1


async def test_an_alert_before_the_bot_is_online_waits(caplog):
    async with gpu_rig() as rig:
        offline = AlertsPoster(DanzarBot(SETTINGS), SETTINGS, rig.book, lambda: 0.0)
        await rig.occupy(1, FULL)
        await rig.check()
        await offline.deliver()
    assert "Discord did not take it" not in caplog.text
    assert "no channel" not in caplog.text


async def test_edits_are_no_more_frequent_than_the_owner_wants():
    async with gpu_rig() as rig:
        rig.poster._edit_interval_s = lambda: 5.0
        await rig.occupy(1, FULL)
        await rig.check(0)
        await rig.occupy(1, WORSE)
        await rig.check(1)
        assert "High GPU utilization" in embed_of(rig).description
        rig.clock.at_s = 6
        await rig.poster.deliver()
        assert "nearly full" in embed_of(rig).description


# --- muting ---------------------------------------------------------------------------------


async def test_an_operator_mutes_by_button_and_it_is_said_and_audited():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check(0)
        assert labels_of(rig.alerts.last_message) == [
            "Mute 1 h",
            "Mute 8 h",
            "Mute until it is over",
        ]
        result = await rig.operator.click(rig.alerts.last_message, label="Mute 1 h")
        assert result.response.ephemeral
        assert "🔕 No new messages about incident 1 until" in result.response.content
        await rig.poster.deliver()
        assert "Muted" in fields_of(rig)
        assert labels_of(rig.alerts.last_message) == ["Unmute"]
        ((actor, action, detail),) = rig.audited
        assert actor.startswith("operator (")
        assert (action, detail) == ("incident.mute", "1 memory:GPU-simulated-1 1h")


async def test_others_may_not_mute():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check()
        result = await rig.person.click(rig.alerts.last_message, label="Mute 8 h")
        assert "Danzar Operator" in result.response.content
        assert result.response.ephemeral
        assert not rig.book.find(1).muted
        assert rig.audited == []


async def test_while_muted_a_new_incident_is_recorded_without_a_message_until_the_mute_is_over():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check(0)
        await rig.operator.click(rig.alerts.last_message, label="Mute 1 h")
        await rig.occupy(1, 0)
        await rig.check(60)
        await rig.occupy(1, FULL)
        await rig.check(120)
        assert len(rig.alerts.history()) == 1
        assert [r.number for r in rig.book.open_incidents if r.muted] == [2]
        await rig.check(3700)
        assert [m.embeds[0].footer.text for m in rig.alerts.history()] == [
            "Incident 1 · closed",
            "Incident 2 · open",
        ]


async def test_a_muted_incident_that_ends_says_nothing():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check(0)
        await rig.operator.click(rig.alerts.last_message, label="Mute 8 h")
        await rig.occupy(1, 0)
        await rig.check(60)
        await rig.occupy(1, FULL)
        await rig.check(120)
        await rig.occupy(1, 0)
        await rig.check(180)
        assert len(rig.alerts.history()) == 1
        assert len(rig.book.recent_incidents) == 2


async def test_what_is_muted_beyond_its_end_is_listed_and_can_be_taken_back():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check(0)
        await rig.operator.click(rig.alerts.last_message, label="Mute 8 h")
        await rig.occupy(1, 0)
        await rig.check(60)
        await rig.person.send(rig.general, "!gpu incidents")
        assert "🔕 No new messages about what #1 is about until <t:" in rig.last.description
        await rig.operator.send(rig.general, "!gpu incidents unmute 1")
        assert "is heard again" in rig.general.last_message.content
        await rig.occupy(1, FULL)
        await rig.check(120)
        assert len(rig.alerts.history()) == 2


async def test_muted_until_its_end_the_next_one_is_told():
    async with gpu_rig() as rig:
        await rig.occupy(1, FULL)
        await rig.check(0)
        await rig.operator.click(rig.alerts.last_message, label="Mute until it is over")
        await rig.occupy(1, 0)
        await rig.check(60)
        await rig.occupy(1, FULL)
        await rig.check(120)
        assert len(rig.alerts.history()) == 2


async def test_incidents_are_listed_and_muted_by_command():
    async with gpu_rig(check_errors=False) as rig:
        await rig.occupy(0, WORSE)
        await rig.check(0)
        await rig.occupy(0, 0)
        await rig.occupy(1, FULL)
        await rig.check(90)
        await rig.operator.send(rig.general, "!gpu incidents mute")
        assert "No new messages about incident 2" in rig.general.last_message.content
        await rig.person.send(rig.general, "!gpu incidents")
        text = rig.last.description
        assert "**#2** warning, open for 0 s, muted: High GPU utilization" in text
        assert "min 30 s: GPU memory nearly full" in text
        await rig.operator.send(rig.general, "!gpu incidents unmute 2")
        assert "is heard again" in rig.general.last_message.content
        await rig.operator.send(rig.general, "!gpu incidents unmute 2")
        assert "incident 2 is not muted" in rig.general.last_message.content
        await rig.operator.send(rig.general, "!gpu incidents mute 77")
        assert "there is no incident 77" in rig.general.last_message.content


@pytest.mark.parametrize("command", ["!gpu incidents mute 1", "!gpu incidents unmute 1"])
async def test_others_may_not_mute_by_command(command):
    async with gpu_rig(check_errors=False) as rig:
        await rig.occupy(1, FULL)
        await rig.check()
        await rig.person.send(rig.general, command)
        assert "Danzar Operator" in rig.general.last_message.content
        assert not rig.book.find(1).muted


async def test_the_list_is_a_slash_command_too():
    async with gpu_rig() as rig:
        result = await rig.person.slash(rig.general, "gpu incidents list")
        assert result.response.embeds[0].description == "**Open**\nNone: all is well."
