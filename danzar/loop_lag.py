"""How late the event loop runs what is due: the first sign that something blocks it."""

import asyncio
import time
from collections import deque

_INTERVAL_S = 0.02
_WINDOW_S = 60.0
_QUANTILE = 0.99


class LoopLag:
    """Sleeps a little again and again, and keeps by how much each sleep came late."""

    def __init__(self) -> None:
        self._lags_s: deque[float] = deque(maxlen=round(_WINDOW_S / _INTERVAL_S))

    async def run(self) -> None:
        """Measure until cancelled."""
        while True:
            due_s = time.perf_counter() + _INTERVAL_S
            await asyncio.sleep(_INTERVAL_S)
            self.note(time.perf_counter() - due_s)

    def note(self, lag_s: float) -> None:
        """Keep by how much a sleep came late."""
        self._lags_s.append(max(0.0, lag_s))

    @property
    def p99_s(self) -> float | None:
        """99 of 100 sleeps of the last minute were at most this late; ``None`` before the first."""
        if not self._lags_s:
            return None
        ordered = sorted(self._lags_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * _QUANTILE))]

    @property
    def max_s(self) -> float | None:
        """The latest of the last minute."""
        return max(self._lags_s, default=None)
