"""Downloads that end whole and verified, or leave nothing that could be taken for a model."""

import asyncio
import contextlib
import ipaddress
import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import aiohttp
import msgspec
from yarl import URL

from danzar.errors import BadUrl, ModelError, ModelRefused
from danzar.models.checksums import OnBytes, sha256_of, write_whole
from danzar.units import GIB, MIB, format_size

MAX_REDIRECTS = 5
MAX_BYTES = 256 * GIB
ATTEMPTS = 4
_DISK_MARGIN_BYTES = 256 * MIB
_CHUNK_BYTES = 1 * MIB
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=60)
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_OK, _PARTIAL, _RANGE_WRONG = 200, 206, 416


@dataclass(frozen=True, slots=True)
class Download:
    """One file to fetch.

    Attributes:
        target: Where it belongs in the end.
        size_bytes: What it must have, or ``None`` for what the server says.
        sha256: What it must have, or ``None`` where its owner trusts the server this once.
    """

    name: str
    url: str
    target: Path
    size_bytes: int | None = None
    sha256: str | None = None

    @property
    def part(self) -> Path:
        """The temporary name, kept when a download breaks off so that it can be resumed."""
        return self.target.with_name(f"{self.target.name}.part")

    @property
    def note(self) -> Path:
        """What the temporary file is the beginning of."""
        return self.target.with_name(f"{self.target.name}.part.json")


class _PartNote(msgspec.Struct, frozen=True):
    url: str
    etag: str | None


class _BrokeOffError(Exception):
    """The connection ended early; worth another attempt."""


async def download(plan: Download, on_bytes: OnBytes | None = None, *, retry_s: float = 2.0) -> str:
    """Fetch the file, resuming what an earlier attempt left; returns its SHA-256.

    ``retry_s`` is the wait before the second attempt of four; it doubles each time.

    Raises:
        BadUrl: The address, or one that it redirects to, may not be used.
        ModelRefused: The file has another size or checksum; what was fetched is deleted.
        ModelError: The server or the disk would not; what was fetched is kept for the next try.
    """
    check_url(URL(plan.url))
    plan.target.parent.mkdir(parents=True, exist_ok=True)
    async with aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as session:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await _fetch(session, plan, on_bytes)
                break
            except (_BrokeOffError, aiohttp.ClientError, TimeoutError) as exc:
                if attempt == ATTEMPTS:
                    raise ModelError(_broke_off(plan, exc)) from exc
                await asyncio.sleep(retry_s * 2 ** (attempt - 1))
    return await asyncio.to_thread(_finish, plan)


def check_url(url: URL, came_from: URL | None = None) -> None:
    """Allow https anywhere and http on this machine; no way from outside to this machine.

    Raises:
        BadUrl: Anything else.
    """
    host = url.host or ""
    if url.scheme not in ("https", "http") or not host:
        raise BadUrl(f"{_plain(url)}: only https addresses are fetched")
    if url.scheme == "http" and not _is_loopback(host):
        raise BadUrl(f"{_plain(url)}: http can be changed on its way; only https is fetched")
    if came_from is not None and _is_loopback(host) and not _is_loopback(came_from.host or ""):
        raise BadUrl(f"{_plain(came_from)}: redirects to this machine ({_plain(url)})")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(url: URL) -> str:
    """The address without user, password and query, which may hold keys."""
    return str(url.with_user(None).with_query(None)) if url.host else url.path


async def _fetch(session: aiohttp.ClientSession, plan: Download, on_bytes: OnBytes | None) -> None:
    """One attempt. The part file is complete when it returns."""
    start, etag = _resumable(plan)
    headers = {"Accept-Encoding": "identity", "User-Agent": "danzar"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if etag:
            headers["If-Range"] = etag
    async with _follow(session, URL(plan.url), headers) as response:
        if response.status == _RANGE_WRONG:
            _forget(plan)
            raise _BrokeOffError("the server has another file now")
        start = _start_of(plan, response, start)
        total = _total(plan, response, start)
        _check_disk(plan, total - start if total is not None else 0)
        write_whole(
            plan.note, msgspec.json.encode(_PartNote(plan.url, response.headers.get("ETag")))
        )
        await _write(response, plan, start, total, on_bytes)


@contextlib.asynccontextmanager
async def _follow(
    session: aiohttp.ClientSession, url: URL, headers: dict[str, str]
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The response after all redirects, each of which must be allowed itself."""
    for _ in range(MAX_REDIRECTS + 1):
        async with session.get(url, headers=headers, allow_redirects=False) as response:
            if response.status not in _REDIRECTS:
                yield response
                return
            location = response.headers.get("Location", "")
        try:
            target = url.join(URL(location))
        except ValueError as exc:
            raise BadUrl(f"{_plain(url)}: redirects to an address that is none") from exc
        check_url(target, came_from=url)
        url = target
    raise BadUrl(f"{_plain(url)}: redirects more than {MAX_REDIRECTS} times")


def _resumable(plan: Download) -> tuple[int, str | None]:
    """How many bytes are there already, and of which version (its ETag)."""
    try:
        note = msgspec.json.decode(plan.note.read_bytes(), type=_PartNote)
        size_bytes = plan.part.stat().st_size
    except (OSError, msgspec.DecodeError):
        return 0, None
    resumable = note.url == plan.url and (note.etag or plan.sha256)
    too_long = plan.size_bytes is not None and size_bytes >= plan.size_bytes
    return (size_bytes, note.etag) if resumable and not too_long else (0, None)


def _start_of(plan: Download, response: aiohttp.ClientResponse, asked: int) -> int:
    """Where the response's first byte belongs.

    Raises:
        ModelError: The server refuses.
    """
    if response.status == _PARTIAL:
        if response.headers.get("Content-Range", "").startswith(f"bytes {asked}-"):
            return asked
        raise _BrokeOffError("the server sent another part than was asked for")
    if response.status != _OK:
        raise ModelError(
            f"{plan.name}: {_plain(response.url)} answered {response.status} {response.reason}"
        )
    return 0


def _total(plan: Download, response: aiohttp.ClientResponse, start: int) -> int | None:
    """The whole file's size, or ``None`` where nobody says.

    Raises:
        ModelRefused: It is not what the manifest says, or absurd.
    """
    length = response.content_length
    total = None if length is None else start + length
    if plan.size_bytes is not None and total is not None and total != plan.size_bytes:
        _forget(plan)
        raise ModelRefused(
            f"{plan.name}: the server's file has {total} bytes, the manifest says {plan.size_bytes}"
        )
    if total is not None and total > MAX_BYTES:
        raise ModelRefused(f"{plan.name}: {format_size(total)} is more than any model should have")
    return plan.size_bytes if plan.size_bytes is not None else total


def _check_disk(plan: Download, wanted_bytes: int) -> None:
    free = shutil.disk_usage(plan.target.parent).free
    if wanted_bytes + _DISK_MARGIN_BYTES > free:
        raise ModelError(
            f"{plan.name}: {format_size(wanted_bytes)} are still to come, and the disk of "
            f"{plan.target.parent} has {format_size(free)} free; make room and try again"
        )


async def _write(
    response: aiohttp.ClientResponse,
    plan: Download,
    start: int,
    total: int | None,
    on_bytes: OnBytes | None,
) -> None:
    limit = total if total is not None else MAX_BYTES
    done = start
    stream = await asyncio.to_thread(_open_at, plan.part, start)
    try:
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            done += len(chunk)
            if done > limit:
                break
            await asyncio.to_thread(stream.write, chunk)
            if on_bytes is not None:
                on_bytes(done, total or done)
    except OSError as exc:
        if isinstance(exc, aiohttp.ClientError):
            raise
        raise ModelError(f"{plan.name}: {plan.part} can't be written: {exc.strerror}") from exc
    finally:
        await asyncio.to_thread(_close, stream)
    _check_length(plan, done, total)


def _check_length(plan: Download, done: int, total: int | None) -> None:
    if total is None or done == total:
        return
    if done < total:
        raise _BrokeOffError(f"the connection ended after {done} of {total} bytes")
    _forget(plan)
    raise ModelRefused(f"{plan.name}: the server sends more than the {total} bytes it should have")


def _open_at(part: Path, start: int) -> BinaryIO:
    stream = part.open("r+b" if start else "wb")
    stream.truncate(start)
    stream.seek(start)
    return stream


def _close(stream: BinaryIO) -> None:
    stream.flush()
    os.fsync(stream.fileno())
    stream.close()


def _finish(plan: Download) -> str:
    """Verify the part file and give it its name.

    Raises:
        ModelRefused: It has another checksum.
    """
    sha256 = sha256_of(plan.part)
    if plan.sha256 is not None and sha256 != plan.sha256:
        _forget(plan)
        raise ModelRefused(
            f"{plan.name}: what came has the sha256 {sha256[:12]}..., the manifest says "
            f"{plan.sha256[:12]}...; it was deleted"
        )
    plan.part.replace(plan.target)
    plan.note.unlink(missing_ok=True)
    return sha256


def _forget(plan: Download) -> None:
    plan.part.unlink(missing_ok=True)
    plan.note.unlink(missing_ok=True)


def _broke_off(plan: Download, exc: Exception) -> str:
    there = plan.part.stat().st_size if plan.part.exists() else 0
    kept = f"; {format_size(there)} are kept, the next try goes on from there" if there else ""
    reason = str(exc) or type(exc).__name__
    return f"{plan.name}: the download broke off {ATTEMPTS} times ({reason}){kept}"
