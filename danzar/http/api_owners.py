"""How many jobs of a key may wait or run."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from danzar.http.api_errors import ApiError

Unfinished = Callable[[str | None], Awaitable[int]]
_SOON_S = 5.0


class JobsOfOwner:
    """Those that are being accepted just now count, too: the last place is for one only."""

    def __init__(self) -> None:
        self._coming: Counter[str | None] = Counter()

    @asynccontextmanager
    async def admit(
        self, owner: str | None, most: int, unfinished: Unfinished
    ) -> AsyncIterator[None]:
        """Hold one place while the context lasts, in which the job is accepted.

        Raises:
            ApiError: 429; the owner has ``most`` jobs already.
        """
        self._coming[owner] += 1
        try:
            if await unfinished(owner) + self._coming[owner] > most:
                raise ApiError(
                    429,
                    f"{most} jobs of this key wait or run already",
                    code="too_many_jobs",
                    retry_after_s=_SOON_S,
                )
            yield
        finally:
            self._coming[owner] -= 1
            if not self._coming[owner]:
                del self._coming[owner]
