"""The queue's address, and whether it is safe to use. Pure.

Jobs hold what people wrote, and whoever can write to the queue can have nodes work for them. So
``redis://``, which anyone on the way can read and change, is for this machine alone; anything
else needs ``rediss://`` (TLS) with its certificates checked.
"""

import re
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlsplit

from danzar.keys.errors import QueueUrlRefused

TLS_PORT: Final = 6380
PLAIN_PORT: Final = 6379
MEMORY: Final = "memory"
PLAIN: Final = "redis"
TLS: Final = "rediss"
UNIX: Final = "unix"
_SCHEMES: Final = (MEMORY, PLAIN, TLS, UNIX)
_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
_LOOPBACK_NAME: Final = "localhost"
# What cannot change whom we talk to; the rest (``?host=``, ``?ssl_cert_reqs=none``) is refused.
_HARMLESS: Final = frozenset({"db", "health_check_interval", "max_connections", "protocol"})
_TLS_FILES: Final = frozenset({"ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_FIXED: Final = {"ssl_cert_reqs": "required", "ssl_check_hostname": "true"}


@dataclass(frozen=True, slots=True, repr=False)
class QueueUrl:
    """An address that may be used.

    Attributes:
        text: All of it, with the password: for the client library, never for a log or message.
        shown: Without password and parameters.
        host: ``None`` for ``memory://`` and ``unix://``.
    """

    text: str
    shown: str
    scheme: str
    host: str | None
    port: int | None
    user: str | None
    has_password: bool

    @property
    def is_memory(self) -> bool:
        """Whether it lives in this process alone."""
        return self.scheme == MEMORY

    @property
    def is_tls(self) -> bool:
        """Whether the connection is encrypted and both ends prove who they are."""
        return self.scheme == TLS

    def __repr__(self) -> str:
        return f"QueueUrl({self.shown})"

    def __str__(self) -> str:
        return self.shown


def check_queue_url(url: str) -> QueueUrl:
    """The address in parts, if it is safe to use.

    Raises:
        QueueUrlRefused: It is not; the message has the line to type, and never the password.
    """
    parts = _split(url)
    if parts.scheme not in _SCHEMES:
        raise QueueUrlRefused(
            f"the queue can't be at {show_url(url)}: the address must begin with memory://, "
            f"redis:// (this machine only), unix:// or rediss:// (TLS)"
        )
    _check_parameters(parts, url)
    host = _host(parts, url) if parts.scheme in (PLAIN, TLS) else None
    if parts.scheme == PLAIN and not is_loopback(host or _LOOPBACK_NAME):
        raise QueueUrlRefused(_plain_refusal(parts, host or ""))
    return QueueUrl(
        text=url,
        shown=show_url(url),
        scheme=parts.scheme,
        host=(host or _LOOPBACK_NAME) if parts.scheme in (PLAIN, TLS) else None,
        port=_port(parts, url) if parts.scheme in (PLAIN, TLS) else None,
        user=unquote(parts.username) if parts.username else None,
        has_password=bool(parts.password),
    )


def is_loopback(host: str) -> bool:
    """Whether the host is this machine, whatever a name server says."""
    try:
        address = ip_address(host)
    except ValueError:
        return host.lower() == _LOOPBACK_NAME
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def is_host(text: str) -> bool:
    """Whether this could be a machine's address or name."""
    try:
        ip_address(text)
    except ValueError:
        return bool(_NAME.fullmatch(text)) and not text.replace(".", "").isdigit()
    return "%" not in text


def show_url(url: str) -> str:
    """The address without password and parameters, also where it is malformed.

    A password may hold signs that end one elsewhere, so everything up to the last ``@`` is hidden.
    """
    scheme, separator, rest = url.partition("://")
    if not separator or not scheme.replace("+", "").isalnum():
        return "(no address)"
    credentials, at, place = rest.rpartition("@")
    user = credentials.partition(":")[0] if ":" in credentials else ""
    place = re.split(r"[?#]", place)[0]
    host = re.sub(r":(?!\d*(/|$))[^/\]]*$", "", place) if not at else place
    return f"{scheme}://{user}{at if user else ''}{host}"


def with_login(url: str, user: str, password: str, parameters: dict[str, str]) -> str:
    """The address with another user, password and parameters."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items())
    netloc = f"{quote(user, safe='')}:{quote(password, safe='')}@{host}"
    return SplitResult(parts.scheme, netloc, parts.path, query, "").geturl()


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as exc:
        raise QueueUrlRefused(f"{show_url(url)} is no address of a queue") from exc
    if url != url.strip() or any(char in url for char in "\\\r\n\t"):
        raise QueueUrlRefused(f"{show_url(url)} has spaces or signs that no address has")
    return parts


def _host(parts: SplitResult, url: str) -> str | None:
    host = parts.hostname
    if host is not None and not is_host(host):
        raise QueueUrlRefused(f"{show_url(url)} does not name a host, like 192.168.1.10")
    if host is None and parts.scheme == TLS:
        raise QueueUrlRefused(f"{show_url(url)} does not say which host the queue is on")
    return host


def _port(parts: SplitResult, url: str) -> int:
    if parts.port == 0:
        raise QueueUrlRefused(f"{show_url(url)} has port 0")
    return parts.port or PLAIN_PORT


def _check_parameters(parts: SplitResult, url: str) -> None:
    for name, value in parse_qsl(parts.query, keep_blank_values=True):
        if name in _HARMLESS or (name in _TLS_FILES and parts.scheme == TLS):
            continue
        if value.lower() == _FIXED.get(name):
            continue
        why = (
            f"must stay {_FIXED[name]}, or anyone could pose as the queue"
            if name in _FIXED
            else "is not one of those allowed in the queue's address"
        )
        raise QueueUrlRefused(f"{show_url(url)}: the parameter {name} {why}")


def _plain_refusal(parts: SplitResult, host: str) -> str:
    # A user without a password may be a password in the wrong place.
    user = f"{parts.username}@" if parts.username and parts.password else ""
    shown = f"[{host}]" if ":" in host else host
    return (
        f"redis://{user}{shown} is another machine, and redis:// is not encrypted: everyone on the "
        f"network could read the jobs. Type: danzar keys init --host {host}   and then use "
        f"rediss://{user}{shown}:{TLS_PORT} with the keys that it makes"
    )
