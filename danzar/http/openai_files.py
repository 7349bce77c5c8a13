"""Pictures that clients fetch by a URL soon after they were made, and which are then forgotten."""

import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, cast

from fastapi import APIRouter, Depends, Response
from fastapi.requests import HTTPConnection

from danzar.http.api_errors import ApiError, documented
from danzar.units import MIB

KEEP_S = 3600.0
_KEEP_BYTES = 256 * MIB
_TOKEN_BYTES = 32


class PictureFiles:
    """PNG files by tokens that can't be guessed; the oldest go when time or room is over."""

    def __init__(
        self,
        now_s: Callable[[], float] = time.monotonic,
        keep_s: float = KEEP_S,
        keep_bytes: int = _KEEP_BYTES,
    ) -> None:
        self._now_s = now_s
        self._keep_s = keep_s
        self._keep_bytes = keep_bytes
        self._files: OrderedDict[str, tuple[float, bytes]] = OrderedDict()
        self._held_bytes = 0

    def add(self, data: bytes) -> str:
        """Keep a file; returns its token."""
        token = secrets.token_urlsafe(_TOKEN_BYTES)
        self._files[token] = (self._now_s() + self._keep_s, data)
        self._held_bytes += len(data)
        self._forget()
        return token

    def get(self, token: str) -> bytes | None:
        """The file; ``None``: there is none any more."""
        self._forget()
        found = self._files.get(token)
        return None if found is None else found[1]

    def _forget(self) -> None:
        """Files come in the order in which they end."""
        now_s = self._now_s()
        while self._files:
            ends_s, data = next(iter(self._files.values()))
            if now_s < ends_s and self._held_bytes <= self._keep_bytes:
                return
            self._files.popitem(last=False)
            self._held_bytes -= len(data)


def get_files(connection: HTTPConnection) -> PictureFiles:
    """The application's files; made with the first question."""
    state = connection.app.state
    if not hasattr(state, "picture_files"):
        state.picture_files = PictureFiles()
    return cast("PictureFiles", state.picture_files)


Files = Annotated[PictureFiles, Depends(get_files)]
router = APIRouter()


@router.get(
    "/images/files/{token}",
    response_class=Response,
    responses={
        200: {"content": {"image/png": {"schema": {"type": "string", "format": "binary"}}}},
        **documented(404),
    },
    summary="A picture by its short-lived URL",
)
async def get_picture(token: str, files: Files) -> Response:
    """The picture; whoever knows the URL may have it, as with OpenAI."""
    data = files.get(token)
    if data is None:
        raise ApiError(404, "there is no such picture, or its hour is over", code="file_not_found")
    return Response(data, media_type="image/png")
