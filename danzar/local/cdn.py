"""Serves attachments, avatars and the sample frames, none of which a browser may run."""

import asyncio
import mimetypes
from pathlib import Path

from aiohttp import web

from danzar.local.blobs import BlobStore

INLINE_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
FRAME_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif"})
MAX_FRAMES = 24
AVATAR_COLOURS = ("#0f766e", "#b45309", "#9f1239", "#3f6212", "#1d4ed8", "#57534e")


class BlobHandler:
    """Answers GET requests for stored files."""

    def __init__(self, blobs: BlobStore, prefix: str) -> None:
        self._blobs = blobs
        self._prefix = prefix

    async def get(self, request: web.Request) -> web.Response:
        """Return one file, or 404 when it never was or has been forgotten."""
        data = self._blobs.get(request.path.removeprefix(self._prefix))
        if data is None:
            raise web.HTTPNotFound(text="this file is gone")
        return file_response(data, request.path.rsplit("/", 1)[-1])


def file_response(data: bytes, filename: str) -> web.Response:
    """Show pictures; offer everything else as a download, since it could be a page or a script."""
    kind = mimetypes.guess_type(filename)[0] or "application/octet-stream"
    inline = kind in INLINE_TYPES
    return web.Response(
        body=data,
        content_type=kind if inline else "application/octet-stream",
        headers={
            "Cache-Control": "private, max-age=86400, immutable",
            "Content-Disposition": "inline" if inline else "attachment",
            "Content-Security-Policy": "default-src 'none'; sandbox",
        },
    )


async def default_avatar(request: web.Request) -> web.Response:
    """A plain coloured disc for a user without a picture."""
    number = request.match_info["number"]
    colour = AVATAR_COLOURS[int(number) % len(AVATAR_COLOURS)]
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64">'
        f'<circle cx="32" cy="32" r="32" fill="{colour}"/></svg>'
    )
    return web.Response(body=svg.encode(), content_type="image/svg+xml")


def list_frames(assets_dir: Path | None) -> list[str]:
    """Names of the sample frames, sorted; empty when there are none."""
    folder = None if assets_dir is None else assets_dir / "frames"
    if folder is None or not folder.is_dir():
        return []
    names = (p.name for p in folder.iterdir() if p.suffix.lower() in FRAME_SUFFIXES)
    return sorted(names)[:MAX_FRAMES]


async def read_frame(assets_dir: Path | None, name: str) -> bytes:
    """One sample frame.

    Raises:
        aiohttp.web.HTTPNotFound: It is not among the listed ones.
    """
    if assets_dir is None or name not in await asyncio.to_thread(list_frames, assets_dir):
        raise web.HTTPNotFound(text="no such frame")
    return await asyncio.to_thread((assets_dir / "frames" / name).read_bytes)
