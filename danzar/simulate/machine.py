"""The truth behind the planner's back: who really holds what on the simulated devices."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from danzar.core.device import CPU_UUID, DeviceSnapshot, ProcessUse
from danzar.simulate.world import FOREIGN_PID, Device, snapshot_of

_FIRST_OWN_PID = 1000


class Machine:
    """Devices that hand out no more than they have, as a driver does."""

    def __init__(self, devices: Iterable[Device]) -> None:
        """Begin with what other programs hold."""
        self._devices = {d.uuid: d for d in devices}
        self._foreign = {d.uuid: d.foreign_bytes for d in self._devices.values()}
        self._held: dict[str, dict[int, int]] = defaultdict(dict)
        self._computing: dict[str, Counter[int]] = defaultdict(Counter)

    def free_bytes(self, uuid: str) -> int:
        """What the device would still hand out."""
        return self._devices[uuid].total_bytes - self._used_bytes(uuid)

    def foreign_bytes(self, uuid: str) -> int:
        """What other programs hold."""
        return self._foreign[uuid]

    def total_bytes(self, uuid: str) -> int:
        """Capacity."""
        return self._devices[uuid].total_bytes

    def set_foreign(self, uuid: str, wanted_bytes: int) -> None:
        """Let other programs hold as much of ``wanted_bytes`` as they can get."""
        room_bytes = self.free_bytes(uuid) + self._foreign[uuid]
        self._foreign[uuid] = min(wanted_bytes, room_bytes)

    def hold(self, load_id: int, shares: Iterable[tuple[str, int]]) -> str | None:
        """Let a load take all its shares; else the UUID of a device that has not enough."""
        wanted = list(shares)
        short = next((uuid for uuid, size in wanted if self.free_bytes(uuid) < size), None)
        if short is None:
            for uuid, size in wanted:
                self._held[uuid][load_id] = size
        return short

    def release(self, load_id: int) -> None:
        """Take back all that a load holds."""
        for held in (*self._held.values(), *self._computing.values()):
            held.pop(load_id, None)

    def compute(self, load_id: int, uuid: str, size_bytes: int) -> bool:
        """Let a request on a load take so much besides; whether there was room for it."""
        if self.free_bytes(uuid) < size_bytes:
            return False
        self._computing[uuid][load_id] += size_bytes
        return True

    def computed(self, load_id: int, uuid: str, size_bytes: int) -> None:
        """Take that back, if the load is still there."""
        if load_id in self._computing[uuid]:
            self._computing[uuid][load_id] -= size_bytes

    def held_bytes(self, load_id: int) -> tuple[tuple[str, int], ...]:
        """``(UUID, bytes)`` of what a load holds."""
        return tuple((uuid, held[load_id]) for uuid, held in self._held.items() if load_id in held)

    def own_pids(self) -> frozenset[int]:
        """Process ids of all loads."""
        return frozenset(_FIRST_OWN_PID + x for held in self._held.values() for x in held)

    def snapshots(self, now_s: float) -> tuple[DeviceSnapshot, ...]:
        """What the driver says now."""
        return tuple(
            snapshot_of(d, self._processes(d.uuid), self._used_bytes(d.uuid), now_s)
            for d in self._devices.values()
        )

    def _used_bytes(self, uuid: str) -> int:
        own = sum(self._held[uuid].values()) + self._computing[uuid].total()
        return self._foreign[uuid] + own

    def _processes(self, uuid: str) -> tuple[ProcessUse, ...]:
        if uuid == CPU_UUID:
            return ()
        own = (
            ProcessUse(_FIRST_OWN_PID + load_id, "danzar", size + self._computing[uuid][load_id])
            for load_id, size in self._held[uuid].items()
        )
        foreign = self._foreign[uuid]
        others = (ProcessUse(FOREIGN_PID, "other", foreign),) if foreign else ()
        return (*others, *own)
