"""Attachments in memory, with a wall: the oldest go when there is no more room."""

import io
import mimetypes
import warnings
from typing import Any

from PIL import Image


class BlobStore:
    """Keeps uploaded files by URL. Stands in for simcord's ``CdnStore``.

    Attributes:
        base_url: Where the files are served, without a slash at the end. Known only once the
            server listens, and set then.
    """

    def __init__(self, limit_bytes: int) -> None:
        self.base_url = ""
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._blobs: dict[str, bytes] = {}

    @property
    def held_bytes(self) -> int:
        """Size of all files that are held now."""
        return self._held_bytes

    def store_attachment(
        self,
        attachment_id: int,
        channel_id: int,
        filename: str,
        data: bytes,
        description: str | None,
    ) -> dict[str, Any]:
        """Keep one file and return what Discord tells about it."""
        name = safe_filename(filename)
        path = f"/attachments/{channel_id}/{attachment_id}/{name}"
        self._put(path, data)
        url = self.base_url + path
        return {
            "id": str(attachment_id),
            "filename": name,
            "description": description,
            "size": len(data),
            "url": url,
            "proxy_url": url,
            "content_type": mimetypes.guess_type(name)[0] or "application/octet-stream",
            **picture_size(data),
        }

    def store_sticker(self, sticker_id: int, format_type: int, data: bytes) -> str:
        """Keep a sticker and return its URL."""
        path = f"/stickers/{sticker_id}.{format_type}"
        self._put(path, data)
        return self.base_url + path

    def get(self, url: str) -> bytes | None:
        """Bytes behind a URL or its path, or ``None`` when they are gone."""
        return self._blobs.get(url.removeprefix(self.base_url))

    def drop(self, url: str) -> None:
        """Forget one file; nothing happens when it is gone already."""
        data = self._blobs.pop(url.removeprefix(self.base_url), None)
        if data is not None:
            self._held_bytes -= len(data)

    def _put(self, path: str, data: bytes) -> None:
        self._blobs[path] = data
        self._held_bytes += len(data)
        while self._held_bytes > self._limit_bytes and len(self._blobs) > 1:
            self.drop(next(iter(self._blobs)))


def safe_filename(name: str) -> str:
    """A name that fits into one part of a URL, as Discord makes it."""
    kept = "".join(
        c if c.isalnum() or c in "-_." else "_" for c in name.replace("\\", "/").split("/")[-1]
    )
    return kept.strip(".")[-200:] or "file"


def picture_size(data: bytes) -> dict[str, int]:
    """Width and height in pixels, read from the header; empty when it is no picture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as picture:
                return {"width": picture.width, "height": picture.height}
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return {}
