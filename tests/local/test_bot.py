"""An unmodified discord.py bot over real sockets."""

import asyncio
import hashlib

import discord
import pytest

from danzar.discord_api import use_discord_api
from danzar.local.server import running
from danzar.local.settings import LocalSettings
from tests.local.rig import SOON_S, TOKEN, make_bot, online


async def heard(bot, content):
    async with asyncio.timeout(SOON_S):
        while not any(m.content == content for m in bot.heard):
            await asyncio.sleep(0.01)
    return next(m for m in bot.heard if m.content == content)


async def test_the_bot_becomes_ready_and_sees_the_guild(bot, local):
    [guild] = bot.guilds
    assert guild.id == local.world.guild_id
    assert {c.name for c in guild.text_channels} == {"general", "game-night", "alerts"}
    person = guild.get_member(local.world.person_id)
    assert [r.name for r in person.roles] == ["@everyone", "Danzar Operator"]
    assert await bot.is_owner(person)


async def test_a_prefix_command_is_answered_with_a_reply(bot, page):
    async with page.feed() as feed:
        asked = await page.post("!ping")
        answer = await feed.answer("pong")
    assert answer["author"]["username"] == "Danzar"
    assert answer["message_reference"]["message_id"] == asked["id"]


async def test_every_streamed_edit_reaches_the_page(bot, page):
    async with page.feed() as feed:
        await page.post("!stream 3")
        for step in range(4):
            await feed.answer(f"step {step}")


async def test_an_attachment_comes_back_byte_for_byte(bot, page):
    picture = bytes(range(256)) * 40
    async with page.feed() as feed:
        await page.post("!echo", [("frame one.png", picture)])
        answer = await feed.until("MESSAGE_CREATE", lambda m: m["author"]["username"] == "Danzar")
    [attachment] = answer["attachments"]
    assert attachment["filename"] == "frame_one.png"
    assert answer["embeds"][0]["image"]["url"] == attachment["url"]
    async with page.session.get(attachment["url"]) as response:
        assert hashlib.sha256(await response.read()).digest() == hashlib.sha256(picture).digest()


async def test_a_slash_command_may_defer_edit_and_follow_up(bot, page):
    command = await page.command("later")
    async with page.feed() as feed:
        status, _ = await page.act("command", command_id=command["id"], options={"text": "hi"})
        assert status == 200
        thinking = await feed.until("MESSAGE_CREATE")
        assert thinking["flags"] & 1 << 7
        done = await feed.answer("later: hi")
        assert done["id"] == thinking["id"]
        await feed.answer("followup: hi")


async def test_an_ephemeral_answer_names_its_only_viewer(bot, page):
    command = await page.command("secret")
    async with page.feed() as feed:
        await page.act("command", command_id=command["id"])
        answer = await feed.answer("only you")
    assert answer["viewer_id"] == str(page.world.person_id)


async def test_a_slash_command_takes_an_attachment_and_a_number(bot, page):
    command = await page.command("measure")
    files = [("picture", "a.png", b"12345")]
    async with page.feed() as feed:
        status, body = await page.act(
            "command", files, command_id=command["id"], options={"times": "3"}
        )
        assert status == 200, body
        await feed.answer("15 a.png")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "'times' is required"),
        ({"times": "9"}, "from 1 to 5"),
        ({"times": "many"}, "can't be 'many'"),
        ({"times": "1", "nope": "x"}, "unknown option 'nope'"),
    ],
)
async def test_a_wrong_option_is_refused_before_the_bot_sees_it(bot, page, options, said):
    command = await page.command("measure")
    files = [("picture", "a.png", b"12345")]
    status, body = await page.act("command", files, command_id=command["id"], options=options)
    assert status == 400
    assert said in body["message"]


async def test_a_message_command_gets_the_message(bot, page):
    message = await page.post("what is this?")
    command = await page.command("Ask Danzar", kind="menu")
    async with page.feed() as feed:
        await page.act("menu", command_id=command["id"], message_id=message["id"])
        answer = await feed.answer("about: what is this?")
    assert answer["interaction_metadata"]["name"] == "Ask Danzar"


async def test_a_form_is_shown_filled_in_and_sent_once(bot, page):
    command = await page.command("form")
    async with page.feed() as feed:
        await page.act("command", command_id=command["id"])
        form = await feed.until("MODAL")
        assert [(f["custom_id"], f["label"]) for f in form["fields"]] == [
            ("what", "What"),
            ("why", "Why"),
        ]
        for values, said in (({}, "must be filled in"), ({"what": "x" * 9}, "2 to 5 characters")):
            status, body = await page.act("modal", interaction_id=form["id"], values=values)
            assert (status, said in body["message"]) == (400, True)
        guest = str(page.world.guest_id)
        sent = {"interaction_id": form["id"], "values": {"what": "lunch"}}
        assert (await page.act("modal", user_id=guest, **sent))[0] == 400
        assert (await page.act("modal", **sent))[0] == 200
        await feed.answer("lunch because ''")
        assert (await page.act("modal", **sent))[0] == 400


async def test_an_option_is_completed_by_the_bot(bot, page):
    command = await page.command("level")
    given = {"command_id": command["id"], "focused": "map_name", "options": {"map_name": "e"}}
    status, choices = await page.act("autocomplete", **given)
    assert status == 200
    assert [c["value"] for c in choices] == ["entry", "exit"]


async def test_a_button_edits_its_message(bot, page):
    async with page.feed() as feed:
        await page.post("!buttons")
        asked = await feed.answer("choose")
        ids = {"message_id": asked["id"]}
        assert (await page.act("component", custom_id="off", **ids))[0] == 400
        assert (await page.act("component", custom_id="stop", **ids))[0] == 200
        stopped = await feed.answer("stopped")
    assert stopped["components"][0]["components"][0]["disabled"]


async def test_the_page_is_told_when_the_bot_does_not_answer(bot, page):
    command = await page.command("mute")
    async with page.feed() as feed:
        await page.act("command", command_id=command["id"])
        notice = await feed.until("NOTICE")
    assert "did not respond" in notice["text"]


async def test_direct_messages_go_both_ways(bot, page):
    async with page.feed() as feed:
        await page.post("!ping", channel_id=str(page.direct))
        answer = await feed.answer("pong")
        assert answer["channel_id"] == str(page.direct)
        user = await bot.fetch_user(page.world.person_id)
        await user.send("psst")
        assert (await feed.answer("psst"))["channel_id"] == str(page.direct)


async def test_typing_reaches_both_sides(bot, page):
    typed = asyncio.get_running_loop().create_future()

    @bot.listen()
    async def on_typing(channel, user, when):
        typed.set_result((channel.id, user.id, when))

    async with page.feed() as feed:
        await page.act("typing")
        async with asyncio.timeout(SOON_S):
            channel_id, user_id, when = await typed
        assert (channel_id, user_id) == (page.general, page.world.person_id)
        assert abs((discord.utils.utcnow() - when).total_seconds()) < 60
        async with bot.get_channel(page.general).typing():
            await feed.until("TYPING_START", lambda d: d["user_id"] == str(bot.user.id))


async def test_members_are_fetched_over_rest_and_in_chunks(bot, local):
    guild = bot.get_guild(local.world.guild_id)
    assert {m.name for m in guild.members} == {"Danzar", "player_one", "robin"}
    [found] = await guild.query_members("rob")
    assert found.id == local.world.guest_id
    assert (await guild.fetch_member(local.world.guest_id)).name == "robin"


async def test_reactions_and_deletion(bot, page):
    async with page.feed() as feed:
        posted = await page.post("nice frame")
        message = await heard(bot, "nice frame")
        await message.add_reaction("👀")
        added = await feed.until("MESSAGE_REACTION_ADD")
        assert added["emoji"]["name"] == "👀"
        await message.delete()
        assert (await feed.until("MESSAGE_DELETE"))["id"] == posted["id"]


async def test_ids_carry_real_time(bot, page):
    posted = await page.post("now")
    created = discord.utils.snowflake_time(int(posted["id"]))
    assert abs((discord.utils.utcnow() - created).total_seconds()) < 60


async def test_content_is_hidden_without_the_intent_but_not_when_mentioned(local, page):
    intents = discord.Intents.all()
    intents.message_content = False
    async with online(make_bot(intents=intents)) as bot:
        await page.post("hidden words")
        await page.post(f"<@{bot.user.id}> shown")
        await page.post("direct", channel_id=str(page.direct))
        await heard(bot, "direct")
    contents = [m.content for m in bot.heard]
    assert contents == ["", f"<@{bot.user.id}> shown", "direct"]


async def test_events_without_their_intent_are_not_sent(local, page):
    intents = discord.Intents(guilds=True, dm_messages=True, message_content=True)
    async with online(make_bot(intents=intents)) as bot:
        await page.post("in the guild")
        await page.post("direct", channel_id=str(page.direct))
        await heard(bot, "direct")
    assert [m.content for m in bot.heard] == ["direct"]


async def test_a_wrong_token_fails_to_log_in(local):
    bot = make_bot()
    with pytest.raises(discord.LoginFailure):
        await bot.start("wrong")
    await bot.close()


async def test_the_gateway_closes_with_4004_on_a_wrong_token(local):
    client = discord.Client(intents=discord.Intents.default())
    await client.login(TOKEN)
    client.http.token = "wrong"
    with pytest.raises(discord.ConnectionClosed) as closed:
        await client.connect()
    assert closed.value.code == 4004
    await client.close()


async def test_a_cut_socket_resumes_and_misses_nothing(bot, page):
    resumed = asyncio.Event()

    @bot.listen()
    async def on_resumed():
        resumed.set()

    session = bot.ws.session_id
    bot.ws.socket._response.connection.transport.abort()
    for number in range(3):
        await page.post(f"while away {number}")
    async with asyncio.timeout(30):
        await resumed.wait()
    await heard(bot, "while away 2")
    assert [m.content for m in bot.heard] == [f"while away {n}" for n in range(3)]
    assert bot.ws.session_id == session


async def test_a_forgotten_session_begins_anew(bot, local, page):
    first = bot.ws.session_id
    local.gateway.book._sessions.clear()
    bot.ws.socket._response.connection.transport.abort()
    async with asyncio.timeout(30):
        while bot.ws is None or bot.ws.session_id in {first, None}:
            await asyncio.sleep(0.05)
        await page.post("!ping")
        await heard(bot, "!ping")


async def test_the_latency_is_that_of_the_answer_not_of_the_interval():
    settings = LocalSettings(token=TOKEN, heartbeat_interval_s=0.5)
    async with running(settings) as local:
        use_discord_api(local.api_url, local.gateway_url)
        async with online(make_bot()) as bot:
            measured = set()
            async with asyncio.timeout(SOON_S):
                while len(measured) < 4:
                    measured.add(bot.latency)
                    await asyncio.sleep(0.05)
    assert max(measured) < settings.heartbeat_interval_s


async def test_a_second_bot_process_takes_over_after_the_first(local, page):
    async with page.feed() as feed:
        assert feed.hello["bot"]["online"] is False
        for _ in range(2):
            async with online(make_bot()):
                assert (await feed.until("bot"))["online"]
                await page.post("!ping")
                await feed.answer("pong")
            await feed.until("bot", lambda d: not d["online"])


async def test_the_bot_waits_out_a_rate_limit(bot, page, caplog):
    # Two clients share the bucket, so the second meets a 429 that its own books did not foresee.
    other = discord.Client(intents=discord.Intents.none())
    await other.login(TOKEN)
    try:
        channel = other.get_partial_messageable(page.general)
        await channel.send("other 0")
        async with asyncio.TaskGroup() as tasks:
            for number in range(4):
                tasks.create_task(bot.get_channel(page.general).send(f"bot {number}"))
                await heard(bot, f"bot {number}")
            sent = await channel.send("other 1")
    finally:
        await other.close()
    assert sent.content == "other 1"
    assert "We are being rate limited" in caplog.text
