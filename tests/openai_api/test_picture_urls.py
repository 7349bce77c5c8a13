"""Pictures by URL: in the message itself, or from hosts that the owner allows."""

import base64

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from danzar.errors import BadPicture, BadUrl
from danzar.http.data_url import read_data_url
from danzar.http.picture_fetch import fetch_picture

FILE = b"\x89PNG and so on"
CODE = base64.b64encode(FILE).decode()


@pytest.mark.parametrize(
    "head", ["data:image/png;base64,", "DATA:image/JPEG;BASE64,", "data:image/webp;x=1;base64,"]
)
def test_the_file_in_a_data_url_is_read(head):
    assert read_data_url(head + CODE, 1000) == FILE


@pytest.mark.parametrize(
    ("url", "says"),
    [
        pytest.param(f"data:image/png;base64,{CODE[:-1]}", "broken", id="cut"),
        pytest.param("data:image/png;base64,", "empty", id="empty"),
        pytest.param(f"data:image/png,{CODE}", "not in base64", id="not base64"),
        pytest.param(f"data:text/html;base64,{CODE}", "text/html", id="no picture"),
        pytest.param(f"data:;base64,{CODE}", "nothing", id="of no kind"),
        pytest.param("data:image/png" + ";" * 5000, "no data: URL", id="endless head"),
        pytest.param("data:image/png;base64," + "A" * 4000, "at most 1000 B", id="too large"),
    ],
)
def test_a_data_url_that_is_none_says_why(url, says):
    with pytest.raises(BadPicture, match=says):
        read_data_url(url, 1000)


@pytest.fixture
async def host():
    """A server with a picture, a page that leads elsewhere, and one that never ends."""
    asked = []

    async def picture(request: web.Request) -> web.Response:
        asked.append(request.headers["Host"])
        return web.Response(body=FILE, content_type="image/png")

    async def elsewhere(_request: web.Request) -> web.Response:
        raise web.HTTPFound("http://169.254.169.254/")

    app = web.Application()
    app.router.add_get("/picture.png", picture)
    app.router.add_get("/elsewhere", elsewhere)
    async with TestServer(app, host="127.0.0.1") as server:
        server.asked = asked
        yield server


async def no_names(host: str, port: int) -> list[str]:
    return ["127.0.0.1"] if host == "pictures.test" else []


async def fetch(host, path, *, allowed, name="127.0.0.1", most=1000):
    url = f"http://{name}:{host.port}{path}"
    return await fetch_picture(url, allowed, most, no_names)


async def test_an_allowed_host_is_asked(host):
    assert await fetch(host, "/picture.png", allowed=["127.0.0.1"]) == FILE


async def test_the_checked_address_is_asked_under_the_hosts_name(host):
    allowed = [f"pictures.test:{host.port}", "127.0.0.1"]
    assert await fetch(host, "/picture.png", allowed=allowed, name="pictures.test") == FILE
    assert host.asked == [f"pictures.test:{host.port}"]


@pytest.mark.parametrize(
    ("allowed", "name"),
    [
        pytest.param([], "127.0.0.1", id="nobody is allowed"),
        pytest.param(["127.0.0.1:9"], "127.0.0.1", id="another port"),
        pytest.param(["pictures.test"], "pictures.test", id="a name that leads inside"),
    ],
)
async def test_nobody_else_is(host, allowed, name):
    with pytest.raises(BadUrl, match="picture_hosts"):
        await fetch(host, "/picture.png", allowed=allowed, name=name)
    assert not host.asked


async def test_no_redirect_is_followed(host):
    with pytest.raises(BadPicture, match="answered 302"):
        await fetch(host, "/elsewhere", allowed=["127.0.0.1"])


async def test_no_more_is_read_than_may_be(host):
    with pytest.raises(BadPicture, match="more than 5 B"):
        await fetch(host, "/picture.png", allowed=["127.0.0.1"], most=5)


async def test_other_schemes_are_refused():
    with pytest.raises(BadUrl, match="not http"):
        await fetch_picture("rtsp://127.0.0.1/a", ["127.0.0.1"], 10, no_names)


async def test_a_host_that_is_not_there_is_told():
    with pytest.raises(BadPicture, match="could not be fetched"):
        await fetch_picture("http://127.0.0.1:9/a.png", ["127.0.0.1"], 10, no_names)
