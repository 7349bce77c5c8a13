"""A download ends whole and verified, or leaves nothing that could be taken for a model."""

import asyncio
import hashlib
import shutil
from pathlib import Path

import pytest
from aiohttp import web
from yarl import URL

from danzar.errors import BadUrl, ModelError, ModelRefused
from danzar.models.download import Download, check_url, download

CONTENT = bytes(range(256)) * 4096
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = '"one"'


async def whole(request: web.BaseRequest) -> web.StreamResponse:
    """A server that knows ranges, as file servers do."""
    start = 0
    headers = {"ETag": ETAG}
    wanted = request.headers.get("Range")
    if wanted and request.headers.get("If-Range", ETAG) == ETAG:
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        headers["Content-Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return web.Response(
        body=CONTENT[start:], status=206 if "Content-Range" in headers else 200, headers=headers
    )


class BreaksOff:
    """Answers whose connection is cut in the middle, once the client has got the half.

    Attributes:
        times: Answers that break off; later ones are whole.
    """

    def __init__(self, times: int) -> None:
        self.times = times
        self._arrived = asyncio.Event()

    def noted(self, _done: int, _total: int) -> None:
        """The client has something."""
        self._arrived.set()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.times -= 1
        if self.times < 0:
            return await whole(request)
        answer = await whole(request)
        rest = answer.body
        response = web.StreamResponse(status=answer.status, headers=answer.headers)
        response.content_length = len(rest)
        self._arrived.clear()
        await response.prepare(request)
        await response.write(rest[: len(rest) // 2])
        await self._arrived.wait()
        request.transport.close()
        return response


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "models" / "m.safetensors"


def leftovers(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


async def test_a_file_comes_whole_under_its_name(server, target: Path) -> None:
    seen: list[tuple[int, int]] = []
    plan = Download("m", server.on("/m", whole), target, len(CONTENT), SHA256)

    assert await download(plan, lambda done, total: seen.append((done, total))) == SHA256

    assert content(target) == CONTENT
    assert leftovers(target) == ["m.safetensors"]
    assert seen[-1] == (len(CONTENT), len(CONTENT))


async def test_a_wrong_checksum_leaves_nothing(server, target: Path) -> None:
    plan = Download("m", server.on("/m", whole), target, sha256="0" * 64)

    with pytest.raises(ModelRefused, match=f"sha256 {SHA256[:12]}"):
        await download(plan)

    assert leftovers(target) == []


async def test_a_download_that_breaks_off_goes_on_where_it_was(server, target: Path) -> None:
    broken = BreaksOff(times=2)
    plan = Download("m", server.on("/m", broken.handle), target, len(CONTENT), SHA256)

    await download(plan, broken.noted, retry_s=0)

    assert content(target) == CONTENT
    first, *later = server.ranges()
    assert first is None
    assert len(later) == 2
    assert all(int(wanted[6:-1]) > 0 for wanted in later)


async def test_an_interrupted_download_is_resumed_by_the_next_one(server, target: Path) -> None:
    broken = BreaksOff(times=4)
    plan = Download("m", server.on("/m", broken.handle), target, len(CONTENT), SHA256)
    with pytest.raises(ModelError, match=r"broke off 4 times .* are kept"):
        await download(plan, broken.noted, retry_s=0)
    kept = plan.part.stat().st_size
    assert "m.safetensors" not in leftovers(target)
    server.requests.clear()

    await download(plan)

    assert 0 < kept < len(CONTENT)
    assert server.ranges() == [f"bytes={kept}-"]
    assert content(target) == CONTENT


async def test_a_file_that_changed_on_the_server_is_fetched_anew(server, target: Path) -> None:
    plan = Download("m", server.on("/m", whole), target, len(CONTENT), SHA256)
    target.parent.mkdir()
    plan.part.write_bytes(b"x" * 100)
    plan.note.write_text(f'{{"url": "{plan.url}", "etag": "\\"old\\""}}')

    await download(plan)

    assert content(target) == CONTENT


async def test_a_part_of_another_address_is_not_resumed(server, target: Path) -> None:
    plan = Download("m", server.on("/m", whole), target, len(CONTENT), SHA256)
    target.parent.mkdir()
    plan.part.write_bytes(b"x" * 100)
    plan.note.write_text('{"url": "https://elsewhere/m", "etag": "\\"one\\""}')

    await download(plan)

    assert server.ranges() == [None]


async def test_a_part_that_can_not_be_right_is_fetched_anew(server, target: Path) -> None:
    """Without an ETag only the checksum can tell; then the next try begins at the start."""
    plan = Download("m", server.on("/m", whole), target, len(CONTENT), SHA256)
    target.parent.mkdir()
    plan.part.write_bytes(b"x" * 100)
    plan.note.write_text(f'{{"url": "{plan.url}", "etag": null}}')
    with pytest.raises(ModelRefused):
        await download(plan)

    await download(plan)

    assert content(target) == CONTENT


async def test_a_file_of_another_size_than_the_manifest_says_is_not_fetched(
    server, target: Path
) -> None:
    plan = Download("m", server.on("/m", whole), target, len(CONTENT) - 1, SHA256)

    with pytest.raises(ModelRefused, match=f"{len(CONTENT)} bytes, the manifest says"):
        await download(plan)

    assert leftovers(target) == []


async def test_a_server_that_sends_without_end_is_cut(server, target: Path) -> None:
    async def endless(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        for _ in range(100):
            await response.write(CONTENT)
        return response

    plan = Download("m", server.on("/m", endless), target, len(CONTENT), SHA256)

    with pytest.raises(ModelRefused, match="sends more than the"):
        await download(plan)

    assert leftovers(target) == []


async def test_redirects_are_followed(server, target: Path) -> None:
    server.on("/m", whole)

    async def moved(_request: web.BaseRequest) -> web.StreamResponse:
        raise web.HTTPFound("/m")

    plan = Download("m", server.on("/old", moved), target, len(CONTENT), SHA256)

    await download(plan)

    assert content(target) == CONTENT


async def test_a_circle_of_redirects_ends(server, target: Path) -> None:
    async def again(_request: web.BaseRequest) -> web.StreamResponse:
        raise web.HTTPFound("/m")

    plan = Download("m", server.on("/m", again), target, sha256=SHA256)

    with pytest.raises(BadUrl, match="redirects more than 5 times"):
        await download(plan)

    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "location", ["http://models.example/m", "ftp://models.example/m", "file:///etc/passwd"]
)
async def test_a_redirect_to_an_unsafe_address_is_refused(
    server, target: Path, location: str
) -> None:
    async def moved(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": location})

    plan = Download("m", server.on("/m", moved), target, sha256=SHA256)

    with pytest.raises(BadUrl, match="only https"):
        await download(plan)


async def test_an_error_of_the_server_is_told(server, target: Path) -> None:
    async def gone(_request: web.BaseRequest) -> web.StreamResponse:
        raise web.HTTPNotFound

    plan = Download("m", server.on("/m", gone), target, sha256=SHA256)

    with pytest.raises(ModelError, match="answered 404 Not Found"):
        await download(plan)


async def test_a_full_disk_is_told_before_anything_is_written(
    server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage._replace(free=1000))
    plan = Download("m", server.on("/m", whole), target, len(CONTENT), SHA256)

    with pytest.raises(ModelError, match=r"1\.0 MiB are still to come, .* 1000 B free"):
        await download(plan)

    assert leftovers(target) == []


async def test_a_server_that_is_not_there_is_told(target: Path, unused_tcp_port: int) -> None:
    plan = Download("m", f"http://127.0.0.1:{unused_tcp_port}/m", target, sha256=SHA256)

    with pytest.raises(ModelError, match="broke off 4 times"):
        await download(plan, retry_s=0)


@pytest.mark.parametrize(
    ("url", "came_from", "allowed"),
    [
        ("https://models.example/m", None, True),
        ("http://127.0.0.1:8000/m", None, True),
        ("http://localhost/m", None, True),
        ("http://[::1]/m", None, True),
        ("http://models.example/m", None, False),
        ("http://127.0.0.1.models.example/m", None, False),
        ("ftp://models.example/m", None, False),
        ("file:///etc/passwd", None, False),
        ("models.example/m", None, False),
        ("https://127.0.0.1/m", "https://models.example/m", False),
        ("https://cdn.example/m", "https://models.example/m", True),
    ],
)
def test_which_addresses_are_fetched(url: str, came_from: str | None, allowed: bool) -> None:
    def check() -> bool:
        try:
            check_url(URL(url), None if came_from is None else URL(came_from))
        except BadUrl:
            return False
        return True

    assert check() is allowed


def test_a_key_in_an_address_is_not_repeated() -> None:
    with pytest.raises(BadUrl) as caught:
        check_url(URL("http://user:hunter2@models.example/m?key=hunter2"))

    assert "hunter2" not in str(caught.value)
