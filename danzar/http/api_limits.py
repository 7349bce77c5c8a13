"""How much each key may: requests a minute, requests at once. Times are monotonic seconds."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from danzar.http.api_errors import ApiError

_MINUTE_S = 60.0
_SOON_S = 1.0
# Keys that are remembered; those that are idle are full again anyway.
_MOST_KEYS = 10_000


class RequestRate:
    """A bucket for each key: a minute's worth at once, and then as many as flow in."""

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._buckets: dict[str | None, tuple[float, float]] = {}

    def take(self, owner: str | None, per_minute: int) -> None:
        """Count one request.

        Raises:
            ApiError: 429; too many in the last minute.
        """
        now = self._now_s()
        left, at = self._buckets.pop(owner, (float(per_minute), now))
        left = min(float(per_minute), left + (now - at) * per_minute / _MINUTE_S)
        allowed = left >= 1
        self._buckets[owner] = (left - 1 if allowed else left, now)
        if len(self._buckets) > _MOST_KEYS:
            del self._buckets[next(iter(self._buckets))]
        if not allowed:
            raise ApiError(
                429,
                f"more than {per_minute} requests a minute with this key",
                code="rate_limit_exceeded",
                retry_after_s=(1 - left) * _MINUTE_S / per_minute,
            )


class Seats:
    """How many requests of each key are being answered."""

    def __init__(self) -> None:
        self._taken: Counter[str | None] = Counter()

    def taken(self, owner: str | None) -> int:
        """How many are taken now."""
        return self._taken[owner]

    @contextmanager
    def hold(self, owner: str | None, most: int) -> Iterator[None]:
        """Take a seat while the context lasts.

        Raises:
            ApiError: 429; all of the key's seats are taken.
        """
        if self._taken[owner] >= most:
            raise ApiError(
                429,
                f"{most} requests of this key are being answered already",
                code="too_many_at_once",
                retry_after_s=_SOON_S,
            )
        self._taken[owner] += 1
        try:
            yield
        finally:
            self._taken[owner] -= 1
            if not self._taken[owner]:
                del self._taken[owner]
