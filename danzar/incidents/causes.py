"""Why an incident came to be, and what Danzar did about it, from what is known in memory."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from danzar.broker.decision import Decision, DecisionKind
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.growth import GrowthLog, describe_growth
from danzar.core.incident import Incident
from danzar.incidents.record import DoneStep, IncidentRecord, from_unix, kind_of

# About what these tell, somebody's growth is the reason.
_OF_MEMORY = frozenset({"memory", "kept"})
_DEEDS = frozenset({DecisionKind.EVICT, DecisionKind.YIELD, DecisionKind.UNLOAD, DecisionKind.LOST})
_MOST_DONE = 8
# Models make way as soon as a card fills up, which the monitor may see somewhat later.
_BEFORE_S = 60.0
# Who grew earlier than this before the trouble has not brought it about.
_GROWING_S = 300.0


class Grew(NamedTuple):
    """By how many bytes somebody grew, and the sentence about it."""

    size_bytes: int
    text: str


class Causes:
    """Follows what every card's holders hold."""

    def __init__(
        self, devices: Callable[[], Sequence[DeviceMemory]], now_s: Callable[[], float]
    ) -> None:
        """Know nothing yet.

        Args:
            devices: The newest figures, without blocking.
            now_s: Monotonic seconds.
        """
        self._devices = devices
        self._now_s = now_s
        self._logs: dict[str, GrowthLog] = {}

    def note(self, devices: Sequence[DeviceMemory]) -> None:
        """Keep the cards as they stand."""
        now_s = self._now_s()
        for device in devices:
            if device.snapshot.kind is DeviceKind.CUDA:
                self._logs.setdefault(device.snapshot.uuid, GrowthLog()).note(device, now_s)

    def grew(self, incident: Incident, now_s: float) -> Grew | None:
        """Who grew most on the incident's card; ``None`` where that is unknown or no question."""
        kind, _, rest = incident.key.partition(":")
        device = self._device(rest.partition(":")[0]) if kind in _OF_MEMORY else None
        known = None if device is None else self._logs.get(device.snapshot.uuid)
        if device is None or known is None:
            return None
        growth = known.growth(device, now_s, incident.trouble_since_s - _GROWING_S)
        if growth is None:
            return None
        text = describe_growth(growth, simulated=device.snapshot.simulated)
        return Grew(growth.grown_bytes or growth.others_bytes or 0, text)

    def done(self, record: IncidentRecord, decisions: Sequence[Decision]) -> tuple[DoneStep, ...]:
        """What left the incident's card since shortly before it began; oldest first."""
        if kind_of(record.key) not in _OF_MEMORY:
            return record.done
        device = self._device(record.subject.partition(":")[0])
        if device is None or record.calm_since is not None or record.closed_at is not None:
            return record.done
        since_s = record.opened_at.timestamp() - _BEFORE_S
        label = device.snapshot.label
        new = tuple(
            DoneStep(from_unix(d.at_s), d.text)
            for d in decisions
            if d.kind in _DEEDS and d.device == label and d.at_s >= since_s
        )
        known = frozenset(record.done)
        return (*record.done, *(step for step in new if step not in known))[-_MOST_DONE:]

    def _device(self, uuid: str) -> DeviceMemory | None:
        return next((d for d in self._devices() if d.snapshot.uuid == uuid), None)
