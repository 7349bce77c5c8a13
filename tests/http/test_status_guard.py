"""Who is let in: from elsewhere with a key, from this machine without, no foreign page at all."""

import base64
import socket
import ssl

import aiohttp
import pytest

from danzar.config.bot import HttpSettings
from danzar.errors import StoreFailed
from danzar.http import status_live
from danzar.http.api_keys import ApiKeys, KeyLimits
from danzar.http.status_failures import MOST, WINDOW_S, Failures
from danzar.http.status_guard import StatusServerError, check_reach, offered_key, wants_keys
from danzar.http.status_server import serve_status
from tests.certificates import self_signed
from tests.http.status_rig import EMPTY, FixedProbes, parts_of
from tests.http.test_status import PLANNER

PROXY = {"X-Forwarded-For": "203.0.113.7"}
PATHS = ("/", "/static/js/app.js", "/v1/status", "/v1/live", "/v1/log", "/metrics")


@pytest.fixture
async def keys(tmp_path):
    async with ApiKeys.open(tmp_path / "api_keys.db") as opened:
        yield opened


@pytest.fixture
async def key(keys):
    _, text = await keys.add("grafana", KeyLimits())
    return text


@pytest.fixture
async def session():
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as opened:
        yield opened


def served(keys, probes=None, **settings):
    """A server that others than this machine's programs may reach through a proxy."""
    made = HttpSettings(port=0, **{"hosts": ("danzar.lan",), **settings})
    return serve_status(parts_of(EMPTY, PLANNER, probes=probes or FixedProbes()), made, keys)


def basic(password, user="me"):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


def bearer(text):
    return {"Authorization": f"Bearer {text}"}


@pytest.mark.parametrize("path", PATHS)
async def test_who_comes_from_elsewhere_needs_a_key_for_everything(keys, key, session, path):
    async with served(keys) as url, session.get(url + path, headers=PROXY) as answer:
        assert answer.status == 401
        challenge = answer.headers["WWW-Authenticate"]
        assert challenge.startswith('Basic realm="Danzar"')
        assert "Bearer" in challenge
        assert "danzar keys add" in (await answer.json())["error"]


@pytest.mark.parametrize("path", PATHS)
async def test_a_key_opens_as_password_and_as_bearer(keys, key, session, path):
    async with served(keys) as url:
        for sent in (basic(key), basic(key, user=""), bearer(key)):
            async with session.get(url + path, headers={**PROXY, **sent}) as answer:
                assert answer.status == 200


async def test_a_revoked_key_opens_nothing_from_then_on(keys, key, session):
    async with served(keys) as url:
        await keys.revoke("grafana")
        async with session.get(f"{url}/v1/status", headers={**PROXY, **bearer(key)}) as answer:
            assert answer.status == 401


async def test_a_revoked_key_ends_its_open_streams(keys, key, session, monkeypatch):
    monkeypatch.setattr(status_live, "PERIOD_S", 0.01)
    monkeypatch.setattr(status_live, "RECHECK_S", 0.05)
    headers = {**PROXY, **bearer(key)}
    async with served(keys) as url, session.get(f"{url}/v1/live", headers=headers) as answer:
        await answer.content.readline()
        await keys.revoke("grafana")
        await answer.content.read()
        assert answer.content.at_eof()


@pytest.mark.parametrize(
    "header",
    ["", "Basic", "Basic !!!", "Basic " + "A" * 8000, "Bearer", "Bearer danzar_x", "Digest a=b"],
)
async def test_what_is_no_key_is_refused(keys, key, session, header):
    headers = {**PROXY, "Authorization": header}
    async with served(keys) as url, session.get(f"{url}/v1/status", headers=headers) as answer:
        assert answer.status == 401


@pytest.mark.parametrize("name", ["X-Forwarded-For", "Forwarded", "X-Real-IP"])
async def test_a_proxy_on_this_machine_makes_nobody_a_program_of_it(keys, session, name):
    async with served(keys) as url:
        async with session.get(f"{url}/v1/status") as answer:
            assert answer.status == 200
        async with session.get(f"{url}/v1/status", headers={name: "127.0.0.1"}) as answer:
            assert answer.status == 401


async def test_a_proxy_that_hands_the_name_on_makes_nobody_one_either(keys, key, session):
    async with served(keys) as url:
        async with session.get(f"{url}/v1/status", headers={"Host": "danzar.lan"}) as answer:
            assert answer.status == 401
        headers = {"Host": "danzar.lan", **bearer(key)}
        async with session.get(f"{url}/v1/status", headers=headers) as answer:
            assert answer.status == 200


async def test_keys_that_can_not_be_read_let_nobody_in(session):
    class Broken:
        async def find(self, text):
            raise StoreFailed("the API's keys can't be read")

        async def all(self):
            return ()

    async with served(Broken()) as url:
        async with session.get(f"{url}/v1/status", headers={**PROXY, **bearer("x")}) as answer:
            assert (answer.status, await answer.json()) == (
                503,
                {"error": "the API's keys can't be read"},
            )
        async with session.get(f"{url}/v1/status") as answer:
            assert answer.status == 200


async def test_many_wrong_keys_are_refused_unheard_and_do_not_count_for_others(keys, key, session):
    async with served(keys) as url:
        for _ in range(MOST):
            async with session.get(url, headers={**PROXY, **basic("wrong")}) as answer:
                assert answer.status == 401
        async with session.get(url, headers={**PROXY, **basic(key)}) as answer:
            assert answer.status == 429
            assert int(answer.headers["Retry-After"]) > 0
        async with session.get(f"{url}/v1/status") as answer:
            assert answer.status == 200


async def test_asking_without_a_key_is_no_wrong_key(keys, key, session):
    async with served(keys) as url:
        for _ in range(MOST + 2):
            async with session.get(url, headers=PROXY) as answer:
                assert answer.status == 401
        async with session.get(url, headers={**PROXY, **basic(key)}) as answer:
            assert answer.status == 200


def test_failures_are_forgotten_after_their_window_and_bounded():
    now = [0.0]
    failures = Failures(lambda: now[0])
    for _ in range(MOST):
        failures.add("2001:db8::1")
    assert failures.wait_s("2001:db8::ffff:1") == WINDOW_S  # the same network
    assert failures.wait_s("2001:db8:1::1") == 0
    now[0] = WINDOW_S
    assert failures.wait_s("2001:db8::1") == 0
    for number in range(10_000):
        failures.add(f"10.0.{number // 250}.{number % 250}")
    assert len(failures._seen) == 4096


@pytest.mark.parametrize("path", ["/health", "/ready"])
async def test_probes_ask_by_the_address_of_a_pod_without_a_key(keys, session, path):
    headers = {**PROXY, "Host": "10.1.2.3:8764", "Authorization": "nonsense"}
    async with served(keys) as url, session.get(url + path, headers=headers) as answer:
        assert answer.status == 200


async def test_ready_says_503_and_what_is_missing(session):
    async with (
        served(None, FixedProbes(ready=False)) as url,
        session.get(f"{url}/ready") as answer,
    ):
        assert answer.status == 503
        assert (await answer.json())["missing"] == ["discord: not connected"]


async def test_health_says_503_where_it_is_stuck(session):
    async with (
        served(None, FixedProbes(alive=False)) as url,
        session.get(f"{url}/health") as answer,
    ):
        assert answer.status == 503


async def test_open_metrics_needs_no_key_and_opens_nothing_else(keys, session):
    async with served(keys, open_metrics=True) as url:
        async with session.get(f"{url}/metrics", headers=PROXY) as answer:
            assert (answer.status, await answer.text()) == (200, "danzar_ready 1\n")
            assert answer.headers["Content-Type"].startswith("text/plain")
        async with session.get(f"{url}/v1/status", headers=PROXY) as answer:
            assert answer.status == 401


async def test_metrics_come_in_the_format_that_is_asked_for(session):
    headers = {"Accept": "application/openmetrics-text;version=1.0.0"}
    async with served(None) as url, session.get(f"{url}/metrics", headers=headers) as answer:
        assert answer.headers["Content-Type"].startswith("application/openmetrics-text")


@pytest.mark.parametrize("path", ["/", "/static/js/app.js", "/v1/live", "/metrics"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
async def test_a_rebound_name_is_refused_everywhere(session, path, host):
    async with served(None) as url, session.get(url + path, headers={"Host": host}) as answer:
        assert answer.status == 403


async def test_names_that_the_owner_allows_are_served(keys, key, session):
    async with served(keys) as url:
        for host in ("danzar.lan", "danzar.lan:443", "DANZAR.LAN"):
            headers = {"Host": host, **PROXY, **bearer(key)}
            async with session.get(f"{url}/v1/status", headers=headers) as answer:
                assert answer.status == 200


async def test_a_page_of_another_site_can_neither_read_nor_embed(session):
    async with served(None) as url:
        embedded = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"}
        framed = {**embedded, "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}
        neighbour = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "cors"}
        for headers in ({"Origin": "http://evil.example"}, embedded, framed, neighbour):
            for path in ("/v1/status", "/v1/live", "/metrics"):
                async with session.get(url + path, headers=headers) as answer:
                    assert answer.status == 403
        link = {**framed, "Sec-Fetch-Dest": "document"}
        async with session.get(url, headers=link) as answer:
            assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/static/js/app.js", "/v1/status", "/v1/nope", "/health"])
async def test_every_answer_is_hardened(session, path):
    async with served(None) as url, session.get(url + path) as answer:
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/static/../status.py", "/static/%2e%2e/status.py", "/static/..%2fstatus.py"]
)
async def test_only_the_page_s_own_files_are_served(path):
    async with served(None) as url:
        host, port = url.removeprefix("http://").split(":")
        answer = (await raw_get(host, int(port), path)).split(b"\r\n", 1)[0]
        assert answer.split()[1] in (b"404", b"403")


async def test_what_is_no_http_is_refused_and_fills_no_log(caplog):
    async with served(None) as url:
        host, port = url.removeprefix("http://").split(":")
        for path in ("/ HTTP/1.1\r\nHost: \x00", "/" + "a" * 100_000, "nonsense"):
            answer = await raw_get(host, int(port), path)
            assert answer.split(b" ", 2)[1] == b"400"
    assert caplog.text == ""


async def raw_get(host, port, path):
    """As it stands: clients tidy such paths up."""
    import asyncio

    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    return answer


async def test_it_listens_elsewhere_only_with_an_active_key(keys):
    settings = HttpSettings(host="0.0.0.0", port=0)
    assert wants_keys(settings)
    with pytest.raises(StatusServerError, match="danzar keys add NAME"):
        await check_reach(settings, keys)
    await keys.add("me", KeyLimits())
    await check_reach(settings, keys)
    await keys.revoke("me")
    with pytest.raises(StatusServerError):
        await check_reach(settings, keys)
    await check_reach(HttpSettings(), keys)
    assert not wants_keys(HttpSettings())


async def test_over_the_network_an_address_will_do_as_the_name(keys, key, session):
    address = own_address()
    if address is None:
        pytest.skip("this machine has no address but loopback")
    async with served(keys, host="0.0.0.0", hosts=()) as url:
        there = f"http://{address}:{url.rpartition(':')[2]}/v1/status"
        async with session.get(there) as answer:
            assert answer.status == 401
        async with session.get(there, headers=bearer(key)) as answer:
            assert answer.status == 200
        async with session.get(f"{url}/v1/status") as answer:
            assert answer.status == 200  # this machine's programs still need none
        headers = {"Host": "evil.example", **bearer(key)}
        async with session.get(there, headers=headers) as answer:
            assert answer.status == 403


def own_address():
    """Of this machine in its network; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        address = probe.getsockname()[0]
    return None if address.startswith("127.") else address


def test_the_key_is_found_in_each_header_that_carries_one():
    assert offered_key("bearer  danzar_1 ") == "danzar_1"
    assert offered_key(basic("pass:word")["Authorization"]) == "pass:word"
    assert offered_key("Basic ####") is None


async def test_a_certificate_that_is_none_is_told_with_its_setting(tmp_path):
    file = tmp_path / "cert.pem"
    file.write_text("nothing")
    with pytest.raises(StatusServerError, match=r"http\.tls_certificate"):
        async with served(None, tls_certificate=str(file), tls_key=str(file)):
            pass


def test_a_certificate_without_its_key_is_a_mistake_in_the_settings():
    with pytest.raises(Exception, match="tls_key"):
        HttpSettings(tls_certificate="cert.pem")


async def test_with_a_certificate_it_is_served_over_tls(tmp_path, session):
    certificate, private = self_signed(tmp_path)
    async with served(None, tls_certificate=certificate, tls_key=private) as url:
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=certificate)
        async with session.get(f"{url}/v1/status", ssl=trusted, headers={"Origin": url}) as answer:
            assert answer.status == 200
