"""Asks a queue's server once whether it lets this machine in. Blocks."""

import contextlib
import socket
import ssl
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.retry import Retry

from danzar.keys.errors import QueueRefused
from danzar.keys.queue_url import QueueUrl
from danzar.keys.refusals import explain_queue_error


def knock(address: QueueUrl, timeout_s: float) -> None:
    """Connect, log in, ping. ``timeout_s`` is for each step.

    Raises:
        QueueRefused: One line says why it did not work, and what to do.
    """
    error = _greet(address, timeout_s)
    if error is None:
        return
    # Outside of any ``except``, so that the second error does not count the first as its cause.
    told = _alert(address, timeout_s) if _was_cut_off(error, address) else None
    raise QueueRefused(explain_queue_error(told or error, address)) from error


def _greet(address: QueueUrl, timeout_s: float) -> Exception | None:
    client = Redis.from_url(
        address.text,
        socket_connect_timeout=timeout_s,
        socket_timeout=timeout_s,
        retry=Retry(NoBackoff(), 0),
    )
    try:
        client.ping()
    except (RedisError, OSError) as exc:
        return exc
    finally:
        client.close()
    return None


def _was_cut_off(error: Exception, address: QueueUrl) -> bool:
    return address.is_tls and type(error) is RedisConnectionError


def _alert(address: QueueUrl, timeout_s: float) -> Exception | None:
    """Why the server ended TLS; ``None`` where it did not.

    In TLS 1.3 the server judges our certificate when we are already talking, and its reason may be
    lost when it hangs up on what we said. So this time say nothing and listen.
    """
    options: dict[str, Any] = dict(parse_url(address.text))  # type: ignore[no-untyped-call]
    try:
        context = ssl.create_default_context(cafile=options.get("ssl_ca_certs"))
        if "ssl_certfile" in options:
            context.load_cert_chain(options["ssl_certfile"], options.get("ssl_keyfile"))
        place = (options["host"], address.port)
        with (
            socket.create_connection(place, timeout_s) as raw,
            context.wrap_socket(raw, server_hostname=options["host"]) as talk,
            contextlib.suppress(TimeoutError),
        ):
            talk.recv(1)
    except OSError as exc:
        return exc
    return None
