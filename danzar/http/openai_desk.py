"""What OpenAI's routes keep between requests: what was seen in pictures."""

from typing import Annotated, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection

from danzar.http.api_parts import Parts
from danzar.http.openai_pictures import PictureDesk


def get_desk(connection: HTTPConnection, parts: Parts) -> PictureDesk:
    """The application's desk; made with its first question."""
    state = connection.app.state
    if not hasattr(state, "picture_desk"):
        state.picture_desk = PictureDesk(parts.config, parts.vision)
    return cast("PictureDesk", state.picture_desk)


Desk = Annotated[PictureDesk, Depends(get_desk)]
