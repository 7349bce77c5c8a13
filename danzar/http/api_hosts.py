"""Who may not even ask: pages of other origins, and names that this machine is not known by. Pure.

A page of another site can make a browser ask 127.0.0.1 across origins (``Origin`` tells), or under
its own name, after it has pointed that name here (DNS rebinding; ``Host`` tells). An address in
``Host`` can't be such a name.
"""

import ipaddress
from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from danzar.config.api import ApiSettings, is_loopback

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip")


def is_forwarded(headers: Mapping[str, str]) -> bool:
    """Whether a proxy says that it asks for somebody else.

    Args:
        headers: A mapping that knows a name in every spelling.
    """
    return any(name in headers for name in _FORWARDED)


def why_refused(
    headers: Mapping[str, str], scheme: str, settings: ApiSettings, own_names: Collection[str] = ()
) -> str | None:
    """Why a request by these headers gets nothing; ``None`` where it may go on.

    Args:
        headers: By lower-case name.
        scheme: ``http``, ``https``, ``ws`` or ``wss``.
        settings: Where the API listens, and what else is allowed.
        own_names: What this machine is called in its network.
    """
    host = headers.get("host", "")
    if not is_own_name(host, settings.host, settings.hosts, own_names):
        return (
            f"this API is not known as {host[:80]!r}; ask 127.0.0.1 or localhost, "
            "or add the name to api.hosts in bot_config.yaml"
        )
    origin = headers.get("origin")
    page_scheme = {"ws": "http", "wss": "https"}.get(scheme, scheme)
    if origin is None or origin == f"{page_scheme}://{host}" or origin in settings.origins:
        return None
    return (
        "pages of other origins may not use this API; its owner can allow one under api.origins "
        "in bot_config.yaml"
    )


def is_own_name(
    header: str, listens: str, further: Collection[str], own_names: Collection[str]
) -> bool:
    """Whether a ``Host`` header names this machine.

    Args:
        header: As it came, with or without a port.
        listens: The address that the server listens on.
        further: Names that its owner allows.
        own_names: What this machine is called in its network.
    """
    name = _name_in(header)
    if name is None:
        return False
    if is_loopback(name) or name in further:
        return True
    return not is_loopback(listens) and (_is_address(name) or name in own_names)


def _name_in(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
