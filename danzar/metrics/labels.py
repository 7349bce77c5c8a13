"""What a device is called in labels. Pure."""

from collections.abc import Iterable

from danzar.core.device import DeviceSnapshot

DeviceLabels = tuple[str, str, str]
"""``device``, ``gpu`` and ``simulated``."""


def device_labels(snapshot: DeviceSnapshot) -> DeviceLabels:
    """The labels of a device that is there."""
    return snapshot.label, snapshot.uuid, "true" if snapshot.simulated else "false"


class KnownDevices:
    """Every device that was ever seen, by UUID: one may be gone when something there ends."""

    def __init__(self) -> None:
        self._labels: dict[str, DeviceLabels] = {}

    def see(self, snapshots: Iterable[DeviceSnapshot]) -> None:
        """Remember those that are there now."""
        self._labels.update((s.uuid, device_labels(s)) for s in snapshots)

    def labels(self, uuid: str) -> DeviceLabels:
        """A device's labels; its UUID for all that was never known of it."""
        return self._labels.get(uuid, (uuid, uuid, ""))
