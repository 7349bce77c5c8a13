"""Which network addresses a stranger may make this machine connect to.

A name is looked up once and every address that it has is checked. For ``rtsp`` and ``http`` the URL
that is opened then holds the checked address, so that a second look-up cannot give another one
(DNS re-binding). For ``https`` the name must stay, because the certificate is for it; what remains
there is a race that only the DNS of a host on the owner's list could win, and the certificate check
stands against it.
"""

import asyncio
import ipaddress
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit, urlunsplit

from danzar.errors import BadUrl

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
Lookup = Callable[[str, int], Awaitable[Sequence[str]]]

_PORTS = {"rtsp": 554, "http": 80, "https": 443}
_NAME = re.compile(r"^(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*\.?$", re.ASCII)
_CREDENTIALS = re.compile(r"//[^/?#\s]*@")
_LOOKUP_TIMEOUT_S = 5.0


async def look_up(host: str, port: int) -> Sequence[str]:
    """Every address of a host name, by the system's resolver."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[4][0]) for address in found]


@dataclass(frozen=True, slots=True)
class AllowedFor:
    """What a list of hosts is for, in the words of a refusal."""

    purpose: str = "watched"
    setting: str = "watch.allow_hosts"


async def check_url(
    text: str,
    allow_hosts: Sequence[str],
    lookup: Lookup = look_up,
    allowed_for: AllowedFor = AllowedFor(),
) -> str:
    """The URL to open, pinned to a checked address where that is possible.

    Args:
        text: What a person typed.
        allow_hosts: Hosts that the owner allows, ``name`` or ``name:port``.
        lookup: Finds a name's addresses.
        allowed_for: What the list is for.

    Raises:
        BadUrl: Malformed, of another scheme, not on the list, or at an address inside the network.
    """
    shown = without_credentials(text)
    parts = _split(text, shown)
    host, port = _host_and_port(parts, shown)
    _require_listed(host, port, allow_hosts, allowed_for)
    addresses = await _addresses(host, port, shown, lookup)
    for address in addresses:
        _require_reachable(address, host, port, allow_hosts, allowed_for)
    if parts.scheme == "https":
        return text
    return _pinned(parts, addresses[0], port)


def without_credentials(text: str) -> str:
    """The text with ``user:password@`` of any URL in it left out."""
    return _CREDENTIALS.sub("//", text)


def _split(text: str, shown: str) -> SplitResult:
    if any(char.isspace() or not char.isprintable() for char in text) or "\\" in text:
        raise BadUrl("the address holds a space, a backslash or a control character")
    try:
        parts = urlsplit(text)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        raise BadUrl(f"{shown!r} is no valid address") from None
    if parts.scheme not in _PORTS:
        raise BadUrl(f"{shown!r} is not rtsp, http or https")
    return parts


def _host_and_port(parts: SplitResult, shown: str) -> tuple[str, int]:
    host = (parts.hostname or "").lower()
    is_name = bool(_NAME.match(host))
    if not is_name and _as_ip(host) is None:
        raise BadUrl(f"{shown!r} has no valid host; write names in ASCII")
    if is_name and _as_ip(host) is None and _looks_numeric(host):
        # 2130706433, 0x7f.1 and 0177.0.0.1 are addresses to some libraries and names to others.
        raise BadUrl(f"{host!r} is an unusual way to write an address; write it as 192.0.2.1")
    return host.rstrip("."), parts.port or _PORTS[parts.scheme]


def _require_listed(
    host: str, port: int, allow_hosts: Sequence[str], allowed_for: AllowedFor
) -> None:
    if not _is_listed(host, port, allow_hosts):
        raise BadUrl(
            f"{host}:{port} is not among the hosts that may be {allowed_for.purpose}; "
            f"its owner can add it to {allowed_for.setting}"
        )


def _require_reachable(
    address: IpAddress,
    host: str,
    port: int,
    allow_hosts: Sequence[str],
    allowed_for: AllowedFor,
) -> None:
    if is_public(address) or _is_listed(str(address), port, allow_hosts):
        return
    if host == "localhost" and address.is_loopback:
        return
    raise BadUrl(
        f"{host} is at {address}, an address inside the network; if its owner wants it "
        f"{allowed_for.purpose}, that address itself must be in {allowed_for.setting}"
    )


def is_public(address: IpAddress) -> bool:
    """Whether the address is an ordinary one on the internet, looking inside IPv6 wrappers."""
    inner = _embedded(address)
    if inner is not None:
        return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IpAddress) -> IpAddress | None:
    """The IPv4 address that an IPv6 address stands for (mapped, 6to4, NAT64, compatible)."""
    if isinstance(address, ipaddress.IPv4Address):
        return None
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address in _NAT64 or address in _COMPATIBLE:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None


_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
_COMPATIBLE = ipaddress.IPv6Network("::/96")


async def _addresses(host: str, port: int, shown: str, lookup: Lookup) -> list[IpAddress]:
    literal = _as_ip(host)
    if literal is not None:
        return [literal]
    try:
        async with asyncio.timeout(_LOOKUP_TIMEOUT_S):
            texts = await lookup(host, port)
    except (OSError, UnicodeError, TimeoutError):
        texts = []
    addresses = [ip for ip in map(_as_ip, dict.fromkeys(texts)) if ip is not None]
    if not addresses:
        raise BadUrl(f"no address was found for {host} ({shown})")
    return addresses


def _is_listed(host: str, port: int, allow_hosts: Sequence[str]) -> bool:
    wanted = {host, f"{host}:{port}", f"[{host}]", f"[{host}]:{port}"}
    return any(listed.strip().lower().rstrip(".") in wanted for listed in allow_hosts)


def _looks_numeric(host: str) -> bool:
    last = host.rstrip(".").rsplit(".", 1)[-1]
    return last.isdigit() or re.fullmatch(r"0x[0-9a-f]*", last) is not None


def _as_ip(host: str) -> IpAddress | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _pinned(parts: SplitResult, address: IpAddress, port: int) -> str:
    user, at, _ = parts.netloc.rpartition("@")
    host = f"[{address}]" if isinstance(address, ipaddress.IPv6Address) else str(address)
    return urlunsplit(parts._replace(netloc=f"{user}{at}{host}:{port}"))
