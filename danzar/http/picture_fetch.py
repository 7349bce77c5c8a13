"""Fetch a picture from a host that the owner allows, and from nowhere else."""

import logging
from collections.abc import Sequence
from urllib.parse import urlsplit

import aiohttp

from danzar.errors import BadPicture, BadUrl
from danzar.units import format_size
from danzar.vision.addresses import AllowedFor, Lookup, check_url, look_up, without_credentials

log = logging.getLogger(__name__)

_TIMEOUT = aiohttp.ClientTimeout(total=20.0, connect=5.0)
_OK = 200
_ALLOWED_FOR = AllowedFor("asked for pictures", "api.picture_hosts")


async def fetch_picture(
    url: str, allow_hosts: Sequence[str], max_bytes: int, lookup: Lookup = look_up
) -> bytes:
    """The file at an address.

    No redirect is followed: it could lead to a host that nobody allowed.

    Args:
        url: What a client sent.
        allow_hosts: Hosts that the owner allows, ``name`` or ``name:port``.
        max_bytes: No more than so many are read.
        lookup: Finds a name's addresses.

    Raises:
        BadUrl: The address is malformed or not allowed.
        BadPicture: There is no file, or it is too large.
    """
    shown = without_credentials(url)
    if urlsplit(url).scheme not in ("http", "https"):
        raise BadUrl(f"{shown[:200]!r} is no data: URL, and not http or https")
    pinned = await check_url(url, allow_hosts, lookup, _ALLOWED_FOR)
    try:
        return await _read(pinned, urlsplit(url).netloc.rpartition("@")[2], max_bytes)
    except (aiohttp.ClientError, TimeoutError) as exc:
        log.info("a picture could not be fetched: %s", type(exc).__name__)
        raise BadPicture(f"{shown} could not be fetched: {type(exc).__name__}") from exc


async def _read(url: str, host: str, max_bytes: int) -> bytes:
    """``url`` may hold the checked address; ``host`` is the name that the server goes by."""
    async with (
        aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=False) as session,
        session.get(url, headers={"Host": host}, allow_redirects=False) as answer,
    ):
        if answer.status != _OK:
            raise BadPicture(f"the server of the picture answered {answer.status}, not {_OK}")
        data = bytearray()
        async for piece in answer.content.iter_chunked(1 << 16):
            data += piece
            if len(data) > max_bytes:
                limit = format_size(max_bytes)
                raise BadPicture(f"the file has more than {limit}; send a smaller one")
    return bytes(data)
