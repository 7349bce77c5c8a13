import io

import discord
import pytest
from discord.ext import commands
from hypothesis import given
from hypothesis import strategies as st

from cogs.reply import Extras, ReplySettings, StreamedReply
from cogs.reply_text import Draft, Failed, Stopped, render_draft, without_footer
from danzar.chat.question import Answered, Question
from danzar.inference import Placed, QueuePlace
from danzar.inference_fake import Pause, says
from danzar.workers.contract import Generate, Generated, TextDelta

DEGRADED = "on the CPU, as cuda:0 has 0.4GB free of the 5.1GB needed"


def answered(text="Hello", **changes):
    placed = Placed("chat", "cuda:0", simulated=False)
    values = {"seconds": 1.23, "waited_s": 0.0, "finish_reason": "stop", "placed": placed}
    return Answered(text, prompt_tokens=1, completion_tokens=1, **{**values, **changes})


@pytest.mark.parametrize(
    ("draft", "expected"),
    [
        pytest.param(Draft(), "⏳ Thinking…", id="nothing yet"),
        pytest.param(Draft(place=QueuePlace(2)), "⏳ Position 2 in the queue.", id="waiting"),
        pytest.param(
            Draft(place=QueuePlace(9, 95.0, 30.0)),
            "⏳ Position 9 in the queue, about 95 s: longer than the 30 s that it should be.",
            id="waiting for longer than promised",
        ),
        pytest.param(
            Draft(place=QueuePlace(2, 11.6)),
            "⏳ Position 2 in the queue, about 12 s.",
            id="waiting, with the time that it is expected to take",
        ),
        pytest.param(
            Draft(place=QueuePlace(1, 8.0, loading=True)),
            "⏳ Loading the model, about 8 s.",
            id="first, while its model is loaded",
        ),
        pytest.param(Draft("Hel"), "Hel ▌", id="growing"),
        pytest.param(Draft("```py\nx"), "```py\nx\n``` ▌", id="growing code"),
        pytest.param(Draft("Hello", end=Stopped()), "Hello\n-# stopped", id="stopped"),
        pytest.param(Draft(end=Failed("⚠️ No room.")), "⚠️ No room.", id="failed"),
        pytest.param(Draft("Hello", end=answered()), "Hello\n-# cuda:0 · 1.2 s", id="answered"),
        pytest.param(
            Draft("Hello", end=answered(waited_s=4.4, finish_reason="length")),
            "Hello\n-# cuda:0 · 1.2 s · waited 4 s · cut at the longest length allowed",
            id="answered late and cut",
        ),
        pytest.param(
            Draft(
                "Hello",
                end=answered(
                    placed=Placed("chat", "cpu", simulated=False, degraded=DEGRADED),
                    notes=("a.txt is empty.",),
                ),
            ),
            f"Hello\n-# cpu · 1.2 s\n-# {DEGRADED}\n-# a.txt is empty.",
            id="degraded, with a note",
        ),
        pytest.param(
            Draft(end=answered("")),
            "I have nothing to say to that.\n-# cuda:0 · 1.2 s",
            id="an empty answer",
        ),
    ],
)
def test_a_draft_reads_as(draft, expected):
    assert render_draft(draft) == [expected]


_ENDS = st.sampled_from([None, Stopped(), Failed("⚠️ " + "x" * 1500), answered()])


@given(st.lists(st.sampled_from(["word ", "```", "\n", "x" * 500])).map("".join), _ENDS)
def test_no_draft_has_a_message_that_discord_refuses(text, end):
    contents = render_draft(Draft(text, end=end))
    assert contents
    assert all(content.strip() and len(content) <= 2000 for content in contents)


@given(st.text(alphabet="ab \n", max_size=200))
def test_the_footer_can_be_taken_off_again(text):
    shown = render_draft(Draft(text, end=answered(text, notes=("Note.",))))[0]
    if text.strip():
        assert without_footer(shown) == text.strip()


# --- as the answer to commands ------------------------------------------------------------------


class PictureCog(commands.Cog):
    """Answers like the vision cog: with an embed and a picture beside the streamed text."""

    def __init__(self, chat):
        self._chat = chat
        self.results = []

    @commands.hybrid_command()
    async def look(self, ctx):
        extras = Extras(
            discord.Embed(title="Seen"), (discord.File(io.BytesIO(b"\xff\xd8jpeg"), "seen.jpg"),)
        )
        question = Question(
            ctx.channel.id, ctx.message.id, "alice", "what?", facts=("Health is 7",)
        )
        settings = ReplySettings(edit_interval_s=10.0, operator_role="Danzar Operator")
        reply = StreamedReply(ctx, ctx.author, settings, extras)
        self.results.append(await reply.run(lambda at: self._chat.answer(question, on_position=at)))


@pytest.fixture
def cog(chat):
    return PictureCog(chat)


@pytest.fixture
def simcord_bot(simcord_bot, cog):
    plain_setup = simcord_bot.setup_hook

    async def setup_hook():
        await simcord_bot.add_cog(cog)
        await plain_setup()

    simcord_bot.setup_hook = setup_hook
    return simcord_bot


def answer_in(channel, env):
    return [m for m in channel.history() if m.author.id == env.bot.user.id]


@pytest.mark.parametrize("how", ["prefix", "slash"])
async def test_a_command_is_answered_with_picture_and_growing_text(
    simcord_env, inference, cog, channel, alice, how
):
    script = [TextDelta("Low"), Pause(20), TextDelta(": 7"), Generated("stop", 1, 2)]
    inference.on("chat", Generate, script)
    if how == "prefix":
        await alice.send(channel, "!look")
    else:
        result = await alice.slash(channel, "look")
        assert result.acknowledged
    first = channel.last_message
    assert first.content == "Low ▌"
    assert first.embeds[0].title == "Seen"
    assert [a.filename for a in first.attachments] == ["seen.jpg"]
    await simcord_env.advance_time(60)
    (final,) = answer_in(channel, simcord_env)
    assert final.content.startswith("Low: 7\n-# cuda:0 (simulated)")
    assert final.embeds[0].title == "Seen"
    assert len(final.attachments) == 1
    assert cog.results[0].text == "Low: 7"


async def test_the_picture_survives_a_failed_first_try(simcord_env, inference, channel, alice):
    inference.on("chat", Generate, says("Low"))
    simcord_env.inject_error("POST", "/channels/*/messages", status=400, times=1)
    await alice.send(channel, "!look")
    await simcord_env.advance_time(30)
    (final,) = answer_in(channel, simcord_env)
    assert [a.filename for a in final.attachments] == ["seen.jpg"]


async def test_typing_is_shown_until_the_answer_ends(simcord_env, inference, channel, alice):
    inference.on("chat", Generate, [Pause(30), *says("Low")])
    await alice.send(channel, "!look")
    await simcord_env.advance_time(100)
    typed = [r for r in simcord_env.http_requests if r.path.endswith("/typing")]
    assert len(typed) == 4


async def test_a_bot_that_may_not_write_gives_up_quietly(simcord_env, inference, channel, alice):
    inference.on("chat", Generate, [TextDelta("Low"), Pause(500), *says("never")])
    simcord_env.inject_error("POST", "/channels/*/messages", status=403, code=50013, times=None)
    await alice.send(channel, "!look")
    await simcord_env.advance_time(30)
    assert len(inference.closed_early) == 1
