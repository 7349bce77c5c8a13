import itertools

import pytest

from danzar.errors import OutOfMemory, WorkerDied
from danzar.inference_fake import Pause, Position, says
from danzar.workers.contract import Generate, Generated, TextDelta

EDIT_S = 10.0
PNG = ("frame.png", b"\x89PNG")


def answers(channel, env):
    return [m for m in channel.history() if m.author.id == env.bot.user.id]


def buttons(message):
    return {b.label: not b.disabled for row in message.components for b in row.children}


def slowly(*pieces, gap_s=20.0):
    """A model that pauses before each piece but the first."""
    script = []
    for number, piece in enumerate(pieces):
        script += [Pause(gap_s)] if number else []
        script.append(TextDelta(piece))
    return [*script, Generated("stop", 10, len(pieces))]


def asked(inference):
    return inference.requests(Generate)[-1].messages[-1].content


async def test_a_mention_is_answered_with_where_and_how_long(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, says("Hello ", "there"))
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    assert channel.last_message.content == "Hello there\n-# cuda:0 (simulated) · 0.5 s"
    assert asked(inference) == "hi"


async def test_an_answer_grows_with_a_cursor_at_most_once_per_interval(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, slowly("a", "b", "c", "d", "e", gap_s=6.0))
    seen = []

    async def note(payload):
        seen.append((simcord_env.now().timestamp(), payload.data["content"]))

    simcord_env.bot.add_listener(note, "on_raw_message_edit")
    await alice.send(channel, f"{me} hi")
    assert channel.last_message.content == "a ▌"
    await simcord_env.advance_time(60)
    assert [text for _, text in seen][:2] == ["ab ▌", "abcd ▌"]
    assert seen[-1][1].startswith("abcde\n-# ")
    times = [channel.last_message.created_at.timestamp(), *(at for at, _ in seen)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert min(gaps) >= EDIT_S - 0.5, gaps
    assert len(answers(channel, simcord_env)) == 1


async def test_stop_ends_the_computing_and_keeps_what_was_said(
    simcord_env, inference, store, channel, alice, me
):
    inference.on("chat", Generate, slowly("Once upon", " a time", gap_s=500))
    await alice.send(channel, f"{me} tell me a story")
    assert buttons(channel.last_message) == {"Stop": True, "Regenerate": False}
    await alice.click(channel.last_message, label="Stop")
    await simcord_env.advance_time(EDIT_S)
    assert len(inference.closed_early) == 1
    assert channel.last_message.content == "Once upon\n-# stopped"
    assert buttons(channel.last_message) == {"Stop": False, "Regenerate": True}
    history = await store.history(channel.id, before_turn=2**62, limit=9)
    assert [(m.text, m.stopped) for m in history][-1] == ("Once upon", True)


async def test_nobody_else_can_stop_an_answer_but_an_operator_can(
    simcord_env, inference, channel, alice, bob, me
):
    inference.on("chat", Generate, slowly("Once upon", " a time", gap_s=500))
    await alice.send(channel, f"{me} tell me a story")
    result = await bob.click(channel.last_message, label="Stop")
    assert result.ephemeral
    assert "Only the person who asked" in result.response.content
    assert inference.closed_early == []
    role = simcord_env.guild.create_role("Danzar Operator")
    carol = simcord_env.guild.add_member(simcord_env.create_user("carol"), roles=[role])
    await carol.click(channel.last_message, label="Stop")
    await simcord_env.advance_time(EDIT_S)
    assert channel.last_message.content.endswith("-# stopped")


async def test_regenerate_replaces_the_answer_and_the_turn(
    simcord_env, inference, store, channel, alice, me
):
    inference.on("chat", Generate, says("first"), says("second"))
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    await alice.click(channel.last_message, label="Regenerate")
    await simcord_env.advance_time(2 * EDIT_S)
    assert [m.content for m in answers(channel, simcord_env)] == [
        "second\n-# cuda:0 (simulated) · 0.5 s"
    ]
    history = await store.history(channel.id, before_turn=2**62, limit=9)
    assert [m.text for m in history] == ["hi", "second"]


async def test_a_shorter_second_answer_takes_the_surplus_messages_away(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, says("word " * 1000), says("short"))
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    assert len(answers(channel, simcord_env)) == 3
    await alice.click(channel.last_message, label="Regenerate")
    await simcord_env.advance_time(2 * EDIT_S)
    left = answers(channel, simcord_env)
    assert len(left) == 1
    assert left[0].content.startswith("short\n-# ")
    assert buttons(left[0]) == {"Stop": False, "Regenerate": True}


async def test_the_buttons_are_grey_when_their_time_is_over(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, says("Hello"))
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    await simcord_env.advance_time(700)
    assert buttons(channel.last_message) == {"Stop": False, "Regenerate": False}
    assert channel.last_message.content.startswith("Hello\n")


async def test_a_long_answer_takes_several_messages_with_whole_code_blocks(
    simcord_env, inference, channel, alice, me
):
    code = "```python\n" + "print('x')\n" * 300 + "```"
    inference.on("chat", Generate, says(*(f"Look: {code} done".splitlines(keepends=True))))
    await alice.send(channel, f"{me} code please")
    await simcord_env.advance_time(2 * EDIT_S)
    parts = [m.content for m in answers(channel, simcord_env)]
    assert len(parts) == 2
    assert all(len(part) <= 2000 and part.count("```") % 2 == 0 for part in parts)
    assert sum(part.count("print('x')") for part in parts) == 300
    assert [bool(buttons(m)) for m in answers(channel, simcord_env)] == [False, True]


async def test_the_place_in_the_queue_is_shown_while_waiting(
    simcord_env, inference, channel, alice, me
):
    script = [Position(3), Pause(30), Position(1), Pause(30), *says("Hello")]
    inference.on("chat", Generate, script)
    await alice.send(channel, f"{me} hi")
    assert channel.last_message.content == "⏳ Position 3 in the queue."
    assert buttons(channel.last_message)["Stop"]
    await simcord_env.advance_time(40)
    assert channel.last_message.content == "⏳ Position 1 in the queue."
    await simcord_env.advance_time(40)
    assert channel.last_message.content.startswith("Hello\n")
    assert len(answers(channel, simcord_env)) == 1


async def test_a_worker_that_dies_in_the_middle_is_told_and_the_next_question_works(
    simcord_env, inference, channel, alice, me
):
    died = [TextDelta("Once"), WorkerDied("The chat model's process was killed by SIGKILL.")]
    inference.on("chat", Generate, died, says("Hello"))
    await alice.send(channel, f"{me} story")
    await simcord_env.advance_time(EDIT_S)
    content = channel.last_message.content
    assert content.startswith("Once\n")
    assert "SIGKILL" in content
    assert "Regenerate" in content
    assert buttons(channel.last_message) == {"Stop": False, "Regenerate": True}
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    assert channel.last_message.content.startswith("Hello\n")


async def test_an_error_before_any_text_is_one_friendly_line(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, [OutOfMemory("cuda:0 has 0.4GB free, the model needs 5.1GB.")])
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    assert channel.last_message.content == "⚠️ cuda:0 has 0.4GB free, the model needs 5.1GB."


async def test_a_bug_is_shown_as_an_id_that_the_log_has(
    simcord_env, inference, channel, alice, me, caplog
):
    inference.on("chat", Generate, [RuntimeError("secret path /home/x")])
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    content = channel.last_message.content
    assert "secret" not in content
    assert "Traceback" not in content
    error_id = content.split("`")[1].removeprefix("danzar logs --request ")
    assert f"id={error_id}" in caplog.text
    assert "secret path" in caplog.text


async def test_an_answer_that_is_deleted_meanwhile_is_given_up(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, slowly("Once upon", " a time", "!", gap_s=30), says("Hello"))
    await alice.send(channel, f"{me} story")
    message = channel.last_message
    await message.delete()
    await simcord_env.advance_time(60)
    assert answers(channel, simcord_env) == []
    assert len(inference.closed_early) == 1
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    assert channel.last_message.content.startswith("Hello\n")


async def test_a_question_that_is_deleted_meanwhile_is_answered_without_reference(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, [Pause(30), *says("Hello")])
    question = await alice.send(channel, f"{me} hi")
    await alice.delete(question)
    await simcord_env.advance_time(60)
    assert answers(channel, simcord_env)[-1].content.startswith("Hello\n")


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_discord_s_errors_are_tried_again(simcord_env, inference, channel, alice, me, method):
    inference.on("chat", Generate, slowly("a", "b"))
    path = "/channels/*/messages" if method == "POST" else "/channels/*/messages/*"
    simcord_env.inject_error(method, path, status=400, message="injected", times=2)
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(80)
    assert [m.content for m in answers(channel, simcord_env)] == [
        "ab\n-# cuda:0 (simulated) · 0.5 s"
    ]


async def test_nothing_that_is_said_pings_anyone(simcord_env, inference, channel, alice, bob, me):
    inference.on("chat", Generate, slowly(f"@everyone @here {bob.mention}", " end"))
    await alice.send(channel, f"{me} please say @everyone")
    await simcord_env.advance_time(60)
    assert "@everyone" in channel.last_message.content
    assert not channel.last_message.mention_everyone
    written = [r.json for r in simcord_env.http_requests if "/messages" in r.path and r.json]
    assert len(written) >= 2
    for message in written:
        assert message["allowed_mentions"]["parse"] == []
        assert not message["allowed_mentions"].get("replied_user")


async def test_only_mentions_get_a_friendly_hint(simcord_env, inference, channel, alice, bob, me):
    await alice.send(channel, f"{me} {me}")
    assert "`!help`" in channel.last_message.content
    assert inference.asked == []


async def test_direct_messages_need_no_mention(simcord_env, inference, channel):
    inference.on("chat", Generate, says("Hello"))
    dave = simcord_env.create_user("dave")
    simcord_env.guild.add_member(dave)
    await dave.send_dm("hi")
    await simcord_env.advance_time(EDIT_S)
    assert dave.dm_channel.last_message.content.startswith("Hello\n")


async def test_talk_among_people_commands_and_bots_is_left_alone(
    simcord_env, inference, channel, alice, bob, me
):
    await alice.send(channel, "hi bob")
    await bob.send(channel, "!unknown thing")
    await bob.send(channel, f"!unknown {me}")
    robot = simcord_env.guild.add_member(simcord_env.create_user("robot", bot=True))
    await robot.send(channel, f"{me} hi")
    assert answers(channel, simcord_env) == []


async def test_a_reply_to_someone_brings_the_quoted_message_along(
    simcord_env, inference, channel, alice, bob, me
):
    inference.on("chat", Generate, says("Behind the waterfall"))
    said = await bob.send(channel, f"the red key is behind the waterfall, {alice.mention}")
    await alice.send(channel, f"{me} where is the key?", reply_to=said)
    assert asked(inference) == (
        "bob wrote:\n> the red key is behind the waterfall, @alice\n\nwhere is the key?"
    )


async def test_a_reply_to_the_bot_goes_on_without_a_mention(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, says("Hello"))
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    await alice.send(channel, "and you?", reply_to=channel.last_message)
    await simcord_env.advance_time(EDIT_S)
    messages = inference.requests(Generate)[-1].messages
    assert [m.content for m in messages[1:]] == ["hi", "Hello", "and you?"]


async def test_text_files_are_read_and_binary_is_refused_politely(
    simcord_env, inference, channel, alice, me
):
    inference.on("chat", Generate, says("In the tower"))
    files = [("notes.txt", b"blue key: tower"), ("run.exe", b"MZ\x00\x01")]
    await alice.send(channel, f"{me} where is the key?", attachments=files)
    await simcord_env.advance_time(EDIT_S)
    assert "File notes.txt:\n```\nblue key: tower\n```" in asked(inference)
    assert "-# I left run.exe out: it is neither text nor a picture." in (
        channel.last_message.content
    )


async def test_a_file_alone_that_can_not_be_read_is_answered_at_once(
    simcord_env, inference, channel, alice, me
):
    big = ("big.log", b"x" * 70_000)
    await alice.send(channel, me, attachments=[big])
    assert channel.last_message.content == (
        "I left big.log out: it has 68.4 KiB, and I read 64.0 KiB at most."
    )
    assert inference.asked == []


async def test_pictures_are_handed_to_whoever_looks_at_them(
    simcord_env, inference, pictures, channel, alice, bob, me
):
    await alice.send(channel, f"{me} is my health low?", attachments=[PNG])
    posted = await bob.send(channel, "look", attachments=[("his.jpg", b"\xff\xd8")])
    await alice.send(channel, f"{me} what is that?", reply_to=posted)
    assert [names for names, _ in pictures.asked] == [["frame.png"], ["his.jpg"]]
    assert pictures.asked[0][1].text == "is my health low?"
    assert inference.asked == []


async def test_a_third_question_at_once_is_refused_with_the_reason(
    simcord_env, inference, channel, alice, bob, me
):
    inference.on("chat", Generate, slowly("Once", " upon", gap_s=500))
    await alice.send(channel, f"{me} one")
    await alice.send(channel, f"{me} two")
    await alice.send(channel, f"{me} three")
    assert "already working on 2 questions of yours" in channel.last_message.content
    await bob.send(channel, f"{me} mine")
    assert channel.last_message.content == "Once ▌"


@pytest.mark.parametrize("how", ["prefix", "slash"])
async def test_reset_forgets_the_channel(simcord_env, inference, store, channel, alice, me, how):
    inference.on("chat", Generate, says("Hello"))
    await alice.send(channel, f"{me} hi")
    await simcord_env.advance_time(EDIT_S)
    if how == "prefix":
        await alice.send(channel, "!reset")
    else:
        await alice.slash(channel, "reset")
    assert channel.last_message.content.startswith("Forgotten: 2 messages")
    assert await store.history(channel.id, before_turn=2**62, limit=9) == ()
    assert (await store.recent_audit(1))[0].action == "chat.reset"


async def test_help_names_every_command(simcord_env, channel, alice):
    result = await alice.slash(channel, "help")
    assert result.ephemeral
    assert "`!reset`" in result.response.content
    assert "`!help`" in result.response.content
    await alice.send(channel, "!help")
    assert "`!reset`" in channel.last_message.content


async def test_answers_at_the_same_time_do_not_mix(simcord_env, inference, channel, alice, bob, me):
    inference.on("chat", Generate, slowly("A", "a"), slowly("B", "b"))
    await alice.send(channel, f"{me} one")
    await bob.send(channel, f"{me} two")
    await simcord_env.advance_time(60)
    contents = sorted(m.content.split("\n")[0] for m in answers(channel, simcord_env))
    assert contents == ["Aa", "Bb"]
