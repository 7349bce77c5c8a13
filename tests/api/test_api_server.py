import asyncio
import logging
import signal
import socket
import ssl

import aiohttp
import pytest

from danzar.config.api import ApiSettings
from danzar.http.api import make_api, make_app
from danzar.http.api_document import describe
from danzar.http.api_keys import KeyLimits
from danzar.http.api_page import render
from danzar.http.api_server import ApiServerError, check_reach, serve_api, warn_of_plain_http
from tests.api.calls import ask, submit
from tests.api.rig import open_rig, serve_rig, writes
from tests.certificates import self_signed


async def test_a_taken_port_is_told_with_what_to_change(rig, tmp_path):
    port = int(rig.url.rsplit(":", 1)[1])
    with pytest.raises(ApiServerError, match=r"api.port in bot_config.yaml, or --host and --port"):
        async with serve_api(make_api(rig.parts), ApiSettings(port=port), asyncio.Event()):
            pass


async def test_an_address_of_another_machine_is_told(rig):
    with pytest.raises(ApiServerError, match=r"can't listen on 203.0.113.9"):
        async with serve_api(
            make_api(rig.parts), ApiSettings(host="203.0.113.9", port=0), asyncio.Event()
        ):
            pass


async def test_strangers_are_not_listened_to_without_a_key(tmp_path):
    async with open_rig(tmp_path) as rig:
        everywhere = ApiSettings(host="0.0.0.0")
        with pytest.raises(ApiServerError, match="type `danzar keys add NAME` first"):
            await check_reach(everywhere, rig.keys)
        await check_reach(ApiSettings(), rig.keys)
        await rig.keys.add("one", KeyLimits())
        await check_reach(everywhere, rig.keys)
        await rig.keys.revoke("one")
        with pytest.raises(ApiServerError, match="danzar keys add"):
            await check_reach(everywhere, rig.keys)


def test_plain_http_on_the_network_is_warned_of(caplog):
    warn_of_plain_http(ApiSettings())
    assert not caplog.records
    warn_of_plain_http(ApiSettings(host="0.0.0.0"))
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "api.tls_certificate" in record.getMessage()


async def test_beyond_this_machine_every_request_needs_a_key(tmp_path):
    async with serve_rig(tmp_path, host="0.0.0.0") as rig:
        url = rig.url.replace("0.0.0.0", "127.0.0.1")
        assert (await ask(url, "GET", "/models")).status == 401
        _, key = await rig.keys.add("one", KeyLimits())
        assert (await ask(url, "GET", "/models", key)).status == 200


async def test_signals_stay_with_the_program(tmp_path):
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    async with serve_rig(tmp_path) as rig:
        assert (await ask(rig.url, "GET", "/models")).status == 200
        assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before


async def test_small_answers_are_sent_at_once(tmp_path, monkeypatch):
    """asyncio sets TCP_NODELAY only on sockets that are named by their protocol."""
    made = []
    listen = socket.socket.listen
    monkeypatch.setattr(
        socket.socket, "listen", lambda self, n=0: (made.append(self.proto), listen(self, n))[1]
    )
    async with serve_rig(tmp_path):
        pass
    assert made[0] == socket.IPPROTO_TCP


async def test_what_runs_when_the_server_stops_may_end(tmp_path):
    gate = asyncio.Event()
    async with open_rig(tmp_path) as rig:
        rig.jobs.script = lambda _request: [gate, *writes("done")]
        closing = rig.parts.closing
        async with serve_api(make_api(rig.parts), rig.parts.settings, closing) as url:
            job_id = await submit(url)
            waiting = asyncio.create_task(ask(url, "GET", f"/jobs/{job_id}/result?wait_s=30"))
            while not rig.parts.seats.taken(None):
                await asyncio.sleep(0.01)
            asyncio.get_running_loop().call_later(0.1, gate.set)
        assert (await waiting).json["text"] == "done"
        with pytest.raises(aiohttp.ClientConnectorError):
            await ask(url, "GET", "/health")


@pytest.fixture
def certificate(tmp_path):
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    return self_signed(tmp_path)


async def test_with_a_certificate_it_speaks_tls(tmp_path, certificate):
    chain, key = certificate
    async with serve_rig(tmp_path, tls_certificate=chain, tls_key=key) as rig:
        assert rig.url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=chain)
        assert (await ask(rig.url, "GET", "/health", ssl=trusting)).status == 200


async def test_a_certificate_that_is_none_is_told(tmp_path, certificate):
    _, key = certificate
    for cert, words in ((f"{tmp_path}/none.crt", "there is no file"), (key, "can't be used")):
        with pytest.raises(BaseExceptionGroup) as failed:
            async with serve_rig(tmp_path, tls_certificate=cert, tls_key=key):
                pass
        assert failed.group_contains(ApiServerError, match=words)


def test_the_page_shows_every_route_and_needs_no_other_server():
    app = make_app()
    document = describe(app)
    page = render(document, "http://127.0.0.1:8000")
    for path, operations in document["paths"].items():
        assert f"<code>{path}</code>" in page
        assert all(f'class="{method}"' in page for method in operations)
    assert "<script" not in page
    assert "src=" not in page
    assert "Explain quantum computing in simple terms" in page


def test_every_route_is_described_with_its_refusals():
    document = describe(make_app())
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert {"400", "401", "403", "413", "429", "500"} <= operation["responses"].keys(), path
            assert "422" not in operation["responses"]
            assert operation.get("description"), path
    assert "HTTPValidationError" not in document["components"]["schemas"]


async def test_page_and_description_need_no_key(rig):
    await rig.keys.add("one", KeyLimits())
    page = await ask(rig.url, "GET", "/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert (await ask(rig.url, "GET", "/openapi.json")).json["info"]["title"] == "Danzar"
