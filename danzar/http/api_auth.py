"""Who asks, and whether he may now: dependencies of every route that is not public."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from fastapi.requests import HTTPConnection

from danzar.config.api import ApiSettings, is_loopback
from danzar.http.api_errors import ApiError
from danzar.http.api_hosts import is_forwarded
from danzar.http.api_keys import ApiKey, KeyLimits
from danzar.http.api_parts import ApiParts, Parts

_BEARER = "bearer"


@dataclass(frozen=True, slots=True)
class Limits:
    """What a caller may.

    Attributes:
        concurrent: Requests that are answered at once.
        jobs: Jobs that wait or run.
    """

    requests_per_minute: int
    concurrent: int
    jobs: int


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever asks.

    Attributes:
        owner: Whose jobs his are: the key's, or ``None`` while this machine's programs need none.
        name: The key's name, for the log.
    """

    owner: str | None
    name: str
    limits: Limits


async def who_asks(connection: HTTPConnection, parts: Parts) -> Caller:
    """The caller; one of his requests is counted.

    Raises:
        ApiError: 401, no valid key; 429, too many requests.
    """
    caller = await _caller(connection, parts)
    connection.state.key_id = caller.owner
    parts.rate.take(caller.owner, caller.limits.requests_per_minute)
    return caller


Asking = Annotated[Caller, Depends(who_asks)]


async def take_seat(caller: Asking, parts: Parts) -> AsyncGenerator[Caller]:
    """The caller, one of whose seats is held until the answer has gone out.

    Raises:
        ApiError: 429; all of his seats are taken.
    """
    with parts.seats.hold(caller.owner, caller.limits.concurrent):
        yield caller


Seated = Annotated[Caller, Depends(take_seat)]


async def _caller(connection: HTTPConnection, parts: ApiParts) -> Caller:
    kind, _, text = connection.headers.get("authorization", "").partition(" ")
    if kind.lower() == _BEARER:
        key = await parts.keys.find(text.strip())
        if key is not None:
            return Caller(key_owner(key), key.name, _limits(key.limits, parts.settings))
    if await _is_open(connection, parts):
        return Caller(None, "this machine", _limits(KeyLimits(), parts.settings))
    raise ApiError(
        401,
        "this API wants a key: Authorization: Bearer danzar_...; its owner makes one with "
        "`danzar keys add NAME`",
        code="invalid_api_key",
        headers={"WWW-Authenticate": "Bearer"},
    )


async def _is_open(connection: HTTPConnection, parts: ApiParts) -> bool:
    """Whether this machine's programs need no key: there never was one, nor is a proxy between."""
    if not is_loopback(parts.settings.host) or is_forwarded(connection.headers):
        return False
    return not await parts.keys.any_exists()


def _limits(own: KeyLimits, common: ApiSettings) -> Limits:
    return Limits(
        own.requests_per_minute or common.requests_per_minute,
        own.concurrent or common.concurrent,
        own.jobs or common.jobs,
    )


def key_owner(key: ApiKey) -> str:
    """Whose a key's jobs are."""
    return f"key:{key.id}"
