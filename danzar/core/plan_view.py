"""The inputs of one plan, indexed once: rooms, usable GPUs, who may go. Pure."""

from collections.abc import Collection

from danzar.core.candidates import Candidate, bytes_on_gpu
from danzar.core.device import DeviceKind
from danzar.core.eviction import Resident
from danzar.core.plan import PlanInputs
from danzar.core.room import Room, rooms_of


class View:
    """What the planner looks at. Made for one plan and never changed.

    Attributes:
        gpus: Rooms of the GPUs to try, best first.
        usable: Those of them that may host at all.
        movable: Residents that are neither pinned nor already leaving.
        unprotected: Those of them that may go for this model as a matter of course.
        evictable: Those of the unprotected that may go now.
        last_resort: Those of the movable that may go now.
        pinned: Residents that may never go.
        host_uuid: Host RAM, or ``None`` where it was not measured.
    """

    def __init__(self, inputs: PlanInputs) -> None:
        """Index the inputs."""
        self.demand = inputs.demand
        self.rules = inputs.rules
        self.rooms = rooms_of(inputs.book, inputs.devices)
        self.gpus = self._in_order()
        self.usable = tuple(room for room in self.gpus if self._is_usable(room))
        hosts = (s.uuid for s in inputs.devices if s.kind is DeviceKind.CPU)
        self.host_uuid = next(hosts, None)
        leaving = frozenset[int]().union(*(r.releasing() for r in self.rooms.values()))
        self.pinned = tuple(r for r in inputs.residents if r.pinned)
        self.movable = tuple(
            r
            for r in inputs.residents
            if not r.pinned and r.model != self.demand.model and not leaving.issuperset(r.lease_ids)
        )
        self.unprotected = tuple(
            r for r in self.movable if self.demand.protected or not r.protected
        )
        self.evictable = tuple(r for r in self.unprotected if self._may_go(r, inputs.now_s))
        self.last_resort = tuple(r for r in self.movable if self._may_go(r, inputs.now_s))

    def fits(self, candidate: Candidate, gone: Collection[int] = ()) -> bool:
        """Whether every device has room for its share once the leases ``gone`` are back."""
        return all(
            self._takes(share.device_uuid, share.size_bytes, gone) for share in candidate.shares
        )

    def headrooms(self, gone: Collection[int]) -> list[tuple[str, int]]:
        """``(UUID, bytes)`` of each usable GPU once the leases ``gone`` are back."""
        found = (
            (room.device.uuid, room.headroom_bytes(self.demand.purpose, gone))
            for room in self.usable
        )
        return [(uuid, size) for uuid, size in found if size is not None]

    def may_take(self, room: Room, size_bytes: int) -> bool:
        """Whether a load of this size has not run out there lately."""
        ran_out = dict(self.demand.ran_out).get(room.device.uuid)
        return ran_out is None or size_bytes < ran_out

    def shortfall_bytes(self) -> int | None:
        """What is missing for the smallest variant where least is, with all gone that may go."""
        smallest = min(v.cuda_bytes for v in self.demand.variants)
        gone = [lease_id for r in self.movable for lease_id in r.lease_ids]
        missing = [
            bytes_on_gpu(self.demand, smallest, room.device.uuid) - headroom
            for room in self.gpus
            if (headroom := room.headroom_bytes(self.demand.purpose, gone)) is not None
        ]
        return min(missing, default=None)

    def _takes(self, uuid: str, size_bytes: int, gone: Collection[int]) -> bool:
        room = self.rooms.get(uuid)
        if room is None or not self.may_take(room, size_bytes):
            return False
        headroom = room.headroom_bytes(self.demand.purpose, gone)
        return headroom is not None and headroom >= size_bytes

    def _in_order(self) -> tuple[Room, ...]:
        if self.demand.wants_cpu:
            return ()
        known = self.rooms
        return tuple(known[uuid] for uuid in self.demand.device_order if uuid in known)

    def _is_usable(self, room: Room) -> bool:
        free = room.device.free_bytes
        return free is not None and free >= self.demand.min_free_bytes

    def _may_go(self, resident: Resident, now_s: float) -> bool:
        """Idle for good, or busy with a request that has waited too long for it."""
        if self.demand.waited_s >= self.rules.drain_after_s:
            return True
        settled = now_s - resident.loaded_s >= self.rules.min_residence_s
        return settled and resident.in_flight == 0
