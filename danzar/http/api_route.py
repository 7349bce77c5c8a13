"""How a JSON body is read: strictly, and with a bound on what it can cost."""

from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from danzar.http.api_errors import ApiError

# Decoding so many values takes about 10 ms; a text may be as long as the body may be.
_MOST_VALUES = 200_000
_SEPARATORS = (b",", b"[", b"{")


class StrictRequest(Request):
    """A request whose JSON is UTF-8, without NaN, and neither too deep nor too finely divided."""

    async def json(self) -> Any:  # noqa: ANN401 - as in Starlette
        """The decoded body.

        Raises:
            ApiError: 400; it is none.
        """
        return decode(await self.body())


class ApiRoute(APIRoute):
    """A route that reads JSON strictly."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler with a ``StrictRequest``."""
        handle = super().get_route_handler()

        async def strictly(request: Request) -> Response:
            return await handle(StrictRequest(request.scope, request.receive))

        return strictly


def decode(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    """The value of a JSON document.

    Raises:
        ApiError: 400; it is none, too deep, or has too many values.
    """
    if sum(map(body.count, _SEPARATORS)) > _MOST_VALUES:
        raise ApiError(400, f"the JSON has more than {_MOST_VALUES} values", code="json_too_large")
    try:
        return msgspec.json.decode(body)
    except RecursionError as exc:
        raise ApiError(400, "the JSON is nested too deeply", code="json_invalid") from exc
    except (msgspec.MsgspecError, ValueError) as exc:
        raise ApiError(400, f"the body is no JSON: {exc}", code="json_invalid") from exc
