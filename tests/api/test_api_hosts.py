import pytest

from danzar.config.api import ApiSettings
from danzar.http.api_hosts import why_refused
from tests.api.calls import ask
from tests.api.rig import serve_rig

LOCAL = ApiSettings()
NAMED = ApiSettings(hosts=("danzar.lan",), origins=("http://ui.lan:3000",))
OPEN = ApiSettings(host="0.0.0.0")


@pytest.mark.parametrize(
    ("headers", "settings", "scheme", "allowed"),
    [
        pytest.param({"host": "127.0.0.1:8000"}, LOCAL, "http", True, id="address"),
        pytest.param({"host": "localhost"}, LOCAL, "http", True, id="localhost"),
        pytest.param({"host": "[::1]:8000"}, LOCAL, "http", True, id="IPv6"),
        pytest.param({"host": "evil.example"}, LOCAL, "http", False, id="another name"),
        pytest.param({"host": "192.168.1.5"}, LOCAL, "http", False, id="another address"),
        pytest.param({}, LOCAL, "http", False, id="no host"),
        pytest.param({"host": "[broken"}, LOCAL, "http", False, id="broken host"),
        pytest.param({"host": "danzar.lan"}, NAMED, "http", True, id="configured name"),
        pytest.param({"host": "192.168.1.5:8000"}, OPEN, "http", True, id="address when open"),
        pytest.param({"host": "evil.example"}, OPEN, "http", False, id="name when open"),
        pytest.param({"host": "my-pc"}, OPEN, "http", True, id="own name when open"),
        pytest.param({"host": "my-pc"}, LOCAL, "http", False, id="own name when closed"),
        pytest.param(
            {"host": "localhost:8000", "origin": "http://localhost:8000"},
            LOCAL, "http", True, id="own page",
        ),
        pytest.param(
            {"host": "localhost:8000", "origin": "http://localhost:8000"},
            LOCAL, "ws", True, id="own page's socket",
        ),
        pytest.param(
            {"host": "localhost:8000", "origin": "http://localhost:3000"},
            LOCAL, "http", False, id="page of another port",
        ),
        pytest.param({"host": "localhost", "origin": "null"}, LOCAL, "http", False, id="no origin"),
        pytest.param(
            {"host": "localhost", "origin": "http://evil.example"},
            LOCAL, "ws", False, id="another page's socket",
        ),
        pytest.param(
            {"host": "localhost", "origin": "http://ui.lan:3000"},
            NAMED, "http", True, id="allowed page",
        ),
    ],
)  # fmt: skip
def test_strangers_are_told_apart(headers, settings, scheme, allowed):
    refused = why_refused(headers, scheme, settings, {"my-pc"})
    assert (refused is None) is allowed


async def test_a_stranger_gets_nothing(rig):
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}):
        answer = await ask(rig.url, "GET", "/models", headers=headers)
        assert answer.status == 403
        assert answer.error["code"] == "forbidden_origin"
        assert "Access-Control-Allow-Origin" not in answer.headers
    for path in ("/docs", "/openapi.json"):
        assert (await ask(rig.url, "GET", path, headers={"Host": "evil.example"})).status == 403


async def test_an_allowed_page_may_ask_and_ask_first(tmp_path):
    page = "http://ui.lan:3000"
    async with serve_rig(tmp_path, origins=(page,)) as rig:
        wish = {"Origin": page, "Access-Control-Request-Method": "POST"}
        first = await ask(rig.url, "OPTIONS", "/jobs", headers=wish)
        then = await ask(rig.url, "GET", "/models", headers={"Origin": page})
        other = await ask(rig.url, "GET", "/models", headers={"Origin": "http://evil.example"})
    assert (first.status, first.headers["Access-Control-Allow-Origin"]) == (200, page)
    assert (then.status, then.headers["Access-Control-Allow-Origin"]) == (200, page)
    assert other.status == 403
