import discord
import pytest

from danzar.errors import WorkerDied
from danzar.workers.contract import Annotate
from tests.cogs.vision_rig import frame, vision_config, vision_rig
from tests.vision.worlds import until


@pytest.fixture
async def rig(tmp_path):
    async with vision_rig(tmp_path) as made:
        made.models.captures = {"1": [frame()], "2": [frame()], "3": [frame(), "end"]}
        yield made


async def told(rig, channel, count=1):
    """The last message of the bot in a channel, once there are ``count``."""
    await until(lambda: len(rig.answers(channel)) >= count)
    assert len(rig.answers(channel)) == count
    return rig.answers(channel)[-1]


def _allowed_mentions(rig):
    """Whom the last alert may ping, as Discord was told."""
    sent = [r.json for r in rig.env.http_requests if r.method == "POST" and r.json]
    alert = next(j for j in reversed(sent) if "🚨" in str(j.get("embeds")))
    allowed = alert["allowed_mentions"]
    allowed.pop("replied_user", None)
    return {key: [str(i) for i in value] for key, value in allowed.items()}


async def say(rig, text, who=None):
    await (who or rig.operator).send(rig.channel, text)
    await rig.settle()
    return rig.answers()[-1]


async def test_a_watch_raises_an_alert_in_its_channel_with_no_one_typing(rig):
    answer = await say(rig, "!watch start screen:1")
    assert "Watching **screen:1** as watch 1: 1 alert rules" in answer.content
    assert rig.alerts.mention in answer.content
    alert = await told(rig, rig.alerts)
    embed = alert.embeds[0]
    assert embed.title == "🚨 Health is low @everyone!"
    assert "health 34, below 40" in embed.description
    assert "**Health 34 (low: below 40)**" in embed.description
    assert embed.footer.text == (
        "watch 1: screen:1 at 1.5 s · rule “health low” · cuda:1 (simulated)"
    )
    assert [file.filename for file in alert.attachments] == ["frame.jpg"]
    assert _allowed_mentions(rig) == {"parse": []}


async def test_people_without_the_role_can_neither_start_nor_stop(rig):
    for command in ("!watch start screen:1", "!watch stop", "!stopwatch"):
        answer = await say(rig, command, rig.alice)
        assert "Danzar Operator" in answer.content
    assert rig.answers(rig.alerts) == []


async def test_the_slash_command_is_the_same_function(rig):
    await rig.operator.slash(rig.channel, "watch start", source="screen:1")
    await rig.settle()
    assert "as watch 1" in rig.answers()[-1].content
    await told(rig, rig.alerts)


async def test_source_names_are_completed(rig):
    choices = await rig.operator.autocomplete(rig.channel, "watch start", "source", "sa")
    assert [choice["value"] for choice in choices] == ["sample"]


async def test_alerts_come_to_the_commands_channel_when_theirs_is_missing_and_it_says_so(tmp_path):
    async with vision_rig(tmp_path, alert_channel="elsewhere") as rig:
        rig.models.captures = {"1": [frame()]}
        await rig.operator.send(rig.channel, "!watch start screen:1")
        await told(rig, rig.channel, 2)
        answers = rig.answers()
        assert any("There is no channel “alerts” here" in m.content for m in answers)
        assert any(m.embeds and "🚨" in (m.embeds[0].title or "") for m in answers)


async def test_alerts_mention_the_role_of_the_config_and_no_one_else(tmp_path):
    config = vision_config(tmp_path, discord={"alert_role": "Night Watch"})
    async with vision_rig(tmp_path, config) as rig:
        rig.models.captures = {"1": [frame()]}
        await say(rig, "!watch start screen:1")
        alert = await told(rig, rig.alerts)
        assert alert.content == rig.role.mention
        assert _allowed_mentions(rig) == {"parse": [], "roles": [str(rig.role.id)]}


async def test_status_shows_the_figures_the_last_look_and_the_device(rig):
    await say(rig, "!watch start screen:1")
    await told(rig, rig.alerts)
    text = (await say(rig, "!watch status", rig.alice)).embeds[0].description
    assert "**1 · screen:1** · for" in text
    assert "1 frames: 1 looked at, 0 unchanged, 0 dropped; 1 alerts" in text
    assert "Health 34" in text
    assert "cuda:1 (simulated)" in text


async def test_status_of_nothing_says_so(rig):
    assert (await say(rig, "!watch status")).embeds[0].description == "Nothing is being watched."


@pytest.mark.parametrize("command", ["!watch stop", "!watch stop 1", "!stopwatch"])
async def test_stopping_tells_what_was_stopped(rig, command):
    await say(rig, "!watch start screen:1")
    await told(rig, rig.alerts)
    answer = await say(rig, command)
    assert "🛑 Watch 1 of **screen:1** is stopped: 1 frames" in answer.content
    assert "over: stopped" in (await say(rig, "!watch status")).embeds[0].description


async def test_stopping_what_does_not_run_says_so(rig):
    assert (await say(rig, "!stopwatch")).content == "Nothing is being watched."
    assert "There is no watch 7" in (await say(rig, "!watch stop 7")).content


async def test_a_source_that_ends_is_told_where_the_alerts_are(rig):
    await say(rig, "!watch start screen:3")
    assert (await told(rig, rig.alerts, 2)).content == (
        "🏁 Watch 1 of **screen:3** is over: the source has come to its end"
    )


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("http://127.0.0.1/x", "not among the hosts"),
        ("rtsp://me:geheim@10.0.0.1/live", "not among the hosts"),
        ("/etc/passwd", "not a file in a folder that may be watched"),
        ("file:///etc/passwd", "not rtsp, http or https"),
    ],
)
async def test_sources_that_are_not_allowed_are_one_clear_line(rig, source, said):
    answer = await say(rig, f"!watch start {source}")
    assert said in answer.content
    assert "geheim" not in answer.content


async def test_an_alert_whose_frame_can_not_be_drawn_is_still_told(rig):
    rig.models.replace("media", Annotate, [WorkerDied("gone")])
    await say(rig, "!watch start screen:1")
    alert = await told(rig, rig.alerts)
    assert "The frame could not be drawn" in alert.embeds[0].description
    assert alert.attachments == []


async def test_the_group_alone_explains_itself(rig):
    assert "watch start SOURCE" in (await say(rig, "!watch")).content


async def test_a_channel_where_the_bot_may_not_post_is_not_used(tmp_path):
    async with vision_rig(tmp_path, alert_channel="other") as rig:
        rig.models.captures = {"1": [frame()]}
        closed = discord.PermissionOverwrite(send_messages=False)
        rig.guild.create_text_channel("alerts", overwrites={rig.env.bot.user: closed})
        await rig.operator.send(rig.channel, "!watch start screen:1")
        await told(rig, rig.channel, 2)
        assert any("I may not post in" in m.content for m in rig.answers())
