"""How a JSON body is read: strictly, and with a bound on what it can cost."""

from collections.abc import Callable, Coroutine, Iterator
from itertools import islice
from typing import Any

import msgspec
from fastapi import Request, Response
from fastapi.routing import APIRoute

from danzar.http.api_errors import ApiError

# Decoding so many takes about 10 ms. They count in texts, too, which may be long.
_MOST_SEPARATORS = 100_000
# Checking so many, and saying what is wrong with each, takes about as long.
_MOST_VALUES = 10_000
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
    if sum(map(body.count, _SEPARATORS)) > _MOST_SEPARATORS:
        raise _too_many(_MOST_SEPARATORS)
    value = _decode(body)
    if sum(1 for _ in islice(_values(value), _MOST_VALUES + 1)) > _MOST_VALUES:
        raise _too_many(_MOST_VALUES)
    return value


def _too_many(most: int) -> ApiError:
    return ApiError(400, f"the JSON has more than {most} values", code="json_too_large")


def _values(value: object) -> Iterator[object]:
    """The value and everything inside it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        yield value
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _decode(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    try:
        return msgspec.json.decode(body)
    except RecursionError as exc:
        raise ApiError(400, "the JSON is nested too deeply", code="json_invalid") from exc
    except (msgspec.MsgspecError, ValueError) as exc:
        raise ApiError(400, f"the body is no JSON: {exc}", code="json_invalid") from exc
