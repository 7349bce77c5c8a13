"""What devices looked like before: the last minutes closely, the last hour coarsely."""

from collections import deque

from danzar.core.device import DeviceSnapshot

_RECENT_S = 300.0
_COARSE_STEP_S = 30.0


class DeviceHistory:
    """A bounded history of one device."""

    def __init__(self, interval_s: float, history_s: float) -> None:
        self._recent: deque[DeviceSnapshot] = deque(maxlen=_places(_RECENT_S, interval_s))
        self._coarse: deque[DeviceSnapshot] = deque(maxlen=_places(history_s, _COARSE_STEP_S))

    def add(self, snapshot: DeviceSnapshot) -> None:
        """Remember a snapshot; they come in the order of time."""
        self._recent.append(snapshot)
        due_s = self._coarse[-1].sampled_at_s + _COARSE_STEP_S if self._coarse else 0.0
        if not self._coarse or snapshot.sampled_at_s >= due_s:
            self._coarse.append(snapshot)

    def snapshots(self) -> tuple[DeviceSnapshot, ...]:
        """Oldest first: one each 30 s, then every one of the last minutes."""
        if not self._recent:
            return ()
        first_s = self._recent[0].sampled_at_s
        older = (s for s in self._coarse if s.sampled_at_s < first_s)
        return (*older, *self._recent)


def _places(span_s: float, step_s: float) -> int:
    return max(2, round(span_s / step_s))
