"""The daily digest in a simulated Discord: once a day, at its time, with a chart on request."""

from datetime import UTC, datetime

from cogs.digest import digest_embed
from danzar.config.bot import DiscordSettings
from danzar.incidents.day import DayFigures
from danzar.incidents.digest import DigestFacts
from danzar.units import GIB
from danzar.workers.chart import DrawChart, DrawnChart
from tests.cogs.gpu_rig import gpu_rig

HOUR_S = 3600.0
_AT = datetime(2026, 6, 1, tzinfo=UTC)
DAY_S = 24 * HOUR_S


async def look(rig, at_s):
    rig.clock.at_s = at_s
    return await rig.digests.look()


def titles(rig):
    return [m.embeds[0].title for m in rig.alerts.history()]


async def test_it_is_sent_once_a_day_at_its_time():
    async with gpu_rig() as rig:
        assert await look(rig, 8 * HOUR_S)
        assert await look(rig, 8.9 * HOUR_S)
        assert titles(rig) == []
        assert await look(rig, 9 * HOUR_S)
        assert await look(rig, 9.1 * HOUR_S)
        (title,) = titles(rig)
        assert title.startswith("🗞️ The day until <t:")
        await look(rig, DAY_S + 9 * HOUR_S)
        assert len(titles(rig)) == 2


async def test_a_restart_sends_nothing_twice_and_a_missed_one_is_caught_up(tmp_path):
    async with gpu_rig(data=tmp_path) as rig:
        await look(rig, 8 * HOUR_S)
        await look(rig, 9 * HOUR_S)
        assert len(titles(rig)) == 1
    async with gpu_rig(data=tmp_path) as rig:
        await look(rig, 9.5 * HOUR_S)
        assert titles(rig) == []
        await look(rig, DAY_S + 14 * HOUR_S)
        assert len(titles(rig)) == 1
        await look(rig, 2 * DAY_S + 16 * HOUR_S)
        assert len(titles(rig)) == 1


async def test_a_new_danzar_begins_with_the_next_days():
    async with gpu_rig() as rig:
        await look(rig, 12 * HOUR_S)
        await look(rig, 13 * HOUR_S)
        assert titles(rig) == []
        await look(rig, DAY_S + 9 * HOUR_S)
        assert len(titles(rig)) == 1


async def test_with_null_or_without_a_channel_for_alerts_none_is_sent():
    async with gpu_rig() as rig:
        rig.clock.digest_at = None
        assert await look(rig, DAY_S + 9 * HOUR_S)
        assert titles(rig) == []
    async with gpu_rig(DiscordSettings(alert_channel=None)) as rig:
        assert await look(rig, DAY_S + 9 * HOUR_S)
        assert titles(rig) == []


async def test_what_discord_does_not_take_is_tried_again(caplog):
    async with gpu_rig() as rig:
        await look(rig, 8 * HOUR_S)
        rig.env.inject_error("POST", "/channels/*/messages", status=400)
        assert not await look(rig, 9 * HOUR_S)
        assert titles(rig) == []
        assert await look(rig, 9.01 * HOUR_S)
        assert len(titles(rig)) == 1
    assert "Discord did not take it" in caplog.text


async def test_muted_incidents_are_in_it():
    async with gpu_rig() as rig:
        await rig.occupy(1, 11 * GIB)
        await rig.check(8 * HOUR_S)
        await rig.book.mute(1, seconds=None, actor="ann (1)")
        await rig.person.send(rig.general, "!gpu incidents digest")
        (field,) = [f for f in rig.last.fields if f.name == "Incidents"]
        assert field.value.startswith("**#1** critical, open for 0 s, muted: ")


async def test_its_button_draws_the_day_for_the_one_who_asks():
    async with gpu_rig() as rig:
        rig.history.note()
        rig.models.clock_s += DAY_S + HOUR_S
        rig.inference.on("media", DrawChart, [DrawnChart(1, 1, b"png")])
        await look(rig, 8 * HOUR_S)
        await look(rig, 9 * HOUR_S)
        result = await rig.person.click(rig.alerts.last_message, label="Chart")
        assert result.ephemeral
        assert result.response.attachments[0].filename == "cards.png"
        assert rig.inference.asked[-1][1].span_s == DAY_S


def test_a_long_digest_keeps_whole_lines():
    lines = tuple(f"Muted: heat:{'x' * 60}{n}" for n in range(40))
    figures = DayFigures(_AT, {}, {}, {}, {}, {}, {}, {}, 0, ())
    embed = digest_embed(DigestFacts(_AT, _AT, figures, (), lines))
    (field,) = [f for f in embed.fields if f.name == "Incidents"]
    assert len(field.value) <= 1024
    assert not field.value.endswith("x")
