"""Wrong keys, counted by address, so that nobody tries many. Times are monotonic seconds."""

import ipaddress
import time
from collections.abc import Callable

MOST = 10
WINDOW_S = 60.0
# Addresses that are remembered; the oldest are forgotten first.
_MOST_ADDRESSES = 4096
_V6_PREFIX = 64


class Failures:
    """At most ``MOST`` wrong keys from one address within ``WINDOW_S``."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._seen: dict[str, tuple[int, float]] = {}

    def add(self, address: str) -> None:
        """Count a wrong key."""
        network, now = _network(address), self._now_s()
        count, since = self._seen.pop(network, (0, now))
        if now - since >= WINDOW_S:
            count, since = 0, now
        self._seen[network] = (count + 1, since)
        if len(self._seen) > _MOST_ADDRESSES:
            del self._seen[next(iter(self._seen))]

    def wait_s(self, address: str) -> float:
        """For how long this address is refused unheard; 0 where it is not."""
        count, since = self._seen.get(_network(address), (0, 0.0))
        left_s = since + WINDOW_S - self._now_s()
        return max(1.0, left_s) if count >= MOST and left_s > 0 else 0.0


def _network(address: str) -> str:
    """The address; of IPv6 the network, since one machine has as many addresses as it likes."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if parsed.version == 4:  # noqa: PLR2004
        return str(parsed)
    return str(ipaddress.ip_network((parsed, _V6_PREFIX), strict=False))
