"""The REST interface as raw HTTP, where discord.py hides what it does."""

import io
import json

import aiohttp
import pytest

from danzar.units import MIB
from tests.local.rig import TOKEN

AUTH = {"Authorization": f"Bot {TOKEN}"}


async def send(page, content, **extra):
    url = f"{page.local.api_url}/channels/{page.general}/messages"
    async with page.session.post(url, json={"content": content}, headers=AUTH | extra) as response:
        return response.status, response.headers, await response.json()


async def test_answers_carry_the_exact_content_type_and_the_bucket(page):
    status, headers, message = await send(page, "hello")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert headers["X-RateLimit-Limit"] == "5"
    assert headers["X-RateLimit-Remaining"] == "4"
    assert message["content"] == "hello"


async def test_the_sixth_message_within_five_seconds_is_refused_in_discords_shape(page):
    for _ in range(5):
        assert (await send(page, "x"))[0] == 200
    status, headers, body = await send(page, "x")
    assert status == 429
    assert headers["Via"]
    assert headers["X-RateLimit-Scope"] == "user"
    assert 0 < body["retry_after"] <= 5
    assert body["global"] is False
    assert int(headers["Retry-After"]) >= body["retry_after"]


@pytest.mark.parametrize("given", [{}, {"Authorization": "Bot nope"}, {"Authorization": TOKEN}])
async def test_without_the_token_nothing_is_answered(page, given):
    async with page.session.get(f"{page.local.api_url}/users/@me", headers=given) as response:
        assert response.status == 401
        assert (await response.json())["code"] == 0


async def test_the_gateway_is_announced(page):
    async with page.session.get(f"{page.local.api_url}/gateway/bot", headers=AUTH) as response:
        assert (await response.json())["url"] == page.local.gateway_url


async def test_an_unknown_route_says_so(page):
    async with page.session.get(f"{page.local.api_url}/nothing/here", headers=AUTH) as response:
        assert response.status == 501
        assert "nothing/here" in (await response.json())["message"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"content": 7}', b'{"content": ""}', b"null"])
async def test_a_malformed_body_is_a_client_error(page, body):
    url = f"{page.local.api_url}/channels/{page.general}/messages"
    headers = AUTH | {"Content-Type": "application/json"}
    async with page.session.post(url, data=body, headers=headers) as response:
        assert response.status in {400, 501}
        assert "message" in await response.json()


async def test_too_large_an_upload_gets_40005_though_it_is_still_being_sent(page):
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("payload_json", json.dumps({"content": "big"}))
    form.add_field("files[0]", io.BytesIO(bytes(11 * MIB)), filename="big.bin")
    url = f"{page.local.api_url}/channels/{page.general}/messages"
    async with page.session.post(url, data=form, headers=AUTH) as response:
        assert response.status == 413
        assert await response.json() == {"code": 40005, "message": "Request entity too large"}


async def test_the_description_of_an_attachment_is_kept(page):
    form = aiohttp.FormData(quote_fields=False)
    described = {
        "content": "x",
        "attachments": [{"id": 0, "filename": "a.png", "description": "a map"}],
    }
    form.add_field("payload_json", json.dumps(described))
    form.add_field("files[0]", b"data", filename="a.png")
    url = f"{page.local.api_url}/channels/{page.general}/messages"
    async with page.session.post(url, data=form, headers=AUTH) as response:
        [attachment] = (await response.json())["attachments"]
    assert attachment["description"] == "a map"


async def test_an_interaction_token_can_not_be_guessed(bot, page):
    command = await page.command("mute")
    _, opened = await page.act("command", command_id=command["id"])
    guess = f"simcord_interaction_{opened['id']}"
    url = f"{page.local.api_url}/interactions/{opened['id']}/{guess}/callback"
    async with page.session.post(url, json={"type": 4, "data": {"content": "x"}}) as response:
        assert response.status == 404


async def test_a_file_that_could_be_a_page_is_only_offered_as_a_download(page):
    posted = await page.post(
        "look", [("evil.html", b"<script>alert(1)</script>"), ("a.svg", b"<svg/>")]
    )
    for attachment in posted["attachments"]:
        async with page.session.get(attachment["url"]) as response:
            assert response.content_type == "application/octet-stream"
            assert response.headers["Content-Disposition"] == "attachment"
            assert "sandbox" in response.headers["Content-Security-Policy"]
            assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Host": "evil.example:80"}, 403),
        ({"Host": "localhost.evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}, 200),
        ({}, 200),
    ],
)
async def test_only_loopback_names_and_the_own_page_are_answered(page, headers, status):
    async with page.session.get(page.local.url, headers=headers) as response:
        assert response.status == status


@pytest.mark.parametrize("origin", [None, "http://evil.example", "http://127.0.0.1:1"])
async def test_the_page_interface_needs_the_own_origin(page, origin):
    page.headers = {} if origin is None else {"Origin": origin}
    url = f"{page.local.url}/page/messages"
    async with page.session.post(url, data={"json": "{}"}, headers=page.headers) as response:
        assert response.status == 403
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await page.session.ws_connect(f"{page.local.url}/page/feed", headers=page.headers)


async def test_the_page_speaks_for_its_own_people_only(page):
    status, body = await page.act(
        "messages", content="x", user_id=str(page.world.backend.bot_user.id)
    )
    assert status == 400
    assert "user_id" in body["message"]


@pytest.mark.parametrize(
    ("content", "files", "said"),
    [
        ("", [], "empty message"),
        ("x" * 2001, [], "2000 characters"),
        ("x", [("files", f"{n}.png", b"1") for n in range(11)], "at most 10 files"),
    ],
)
async def test_a_message_that_discord_would_refuse_is_refused(page, content, files, said):
    status, body = await page.act("messages", files, content=content)
    assert status == 400
    assert said in body["message"]


async def test_ten_pictures_arrive_in_order(page):
    posted = await page.post("", [(f"{n}.png", bytes([n])) for n in range(10)])
    assert [a["filename"] for a in posted["attachments"]] == [f"{n}.png" for n in range(10)]


async def test_a_guest_without_the_right_may_not_delete_others_messages(page):
    posted = await page.post("mine")
    guest = str(page.world.guest_id)
    status, _ = await page.act("delete", message_id=posted["id"], user_id=guest)
    assert status == 403
    status, _ = await page.act("delete", message_id=posted["id"])
    assert status == 200


async def test_a_command_without_a_bot_is_refused_at_once(page):
    page.world.backend.register_commands(None, [{"name": "gpu", "description": "Cards"}])
    command = await page.command("gpu")
    status, body = await page.act("command", command_id=command["id"])
    assert (status, body["message"]) == (503, "The bot is offline.")
