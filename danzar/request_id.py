"""Which request a line of the log belongs to: one short id, carried by the context through tasks.

It is set where a request enters (a message or an interaction of Discord, an HTTP request, a job, a
watch) and read where a line is logged.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

HEADER = "X-Request-ID"
_CHANCE_BYTES = 4
_SANE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_current: ContextVar[str | None] = ContextVar("danzar_request_id", default=None)


def current_request_id() -> str | None:
    """The request that this task works for; ``None`` for what Danzar does of its own accord."""
    return _current.get()


def new_request_id(kind: str) -> str:
    """An id like ``m-9f86d081``; ``kind`` tells people where it came in.

    ``m`` is a message, ``i`` an interaction, ``h`` an HTTP request, ``w`` a watch.
    """
    return f"{kind}-{secrets.token_hex(_CHANCE_BYTES)}"


def as_request_id(text: str | None) -> str | None:
    """What a client calls its request, where that is fit for a header and a log."""
    return text if text is not None and _SANE.fullmatch(text) else None


def set_request_id(request_id: str | None) -> None:
    """Let what this task does from now on, and the tasks that it starts, belong to this request."""
    _current.set(request_id)


@contextmanager
def request(kind: str, given: str | None = None) -> Iterator[str]:
    """Let what is done in this context belong to a request; yields its id.

    Args:
        kind: See ``new_request_id``.
        given: An id that it has already, for example a job's.
    """
    request_id = given or new_request_id(kind)
    token = _current.set(request_id)
    try:
        yield request_id
    finally:
        _current.reset(token)
