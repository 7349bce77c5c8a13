"""The inputs of one plan, indexed once: rooms, usable GPUs, who may go. Pure."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property

from danzar.core.candidates import Candidate, bytes_on_gpu
from danzar.core.device import DeviceKind
from danzar.core.eviction import Resident
from danzar.core.plan import PlanInputs
from danzar.core.room import Room, rooms_of
from danzar.core.variant import Variant


class Leavers:
    """Residents that may go, found by device."""

    def __init__(self, residents: Iterable[Resident]) -> None:
        """Take them in the order in which they are given."""
        self.residents = tuple(residents)

    def on(self, device_uuid: str) -> Sequence[Resident]:
        """Those with a share on the device."""
        return self._on.get(device_uuid, ())

    def on_any(self, device_uuids: Iterable[str]) -> Sequence[Resident]:
        """Those with a share on one of the devices, each once."""
        found = {r.model: r for uuid in device_uuids for r in self.on(uuid)}
        return list(found.values())

    def bytes_on(self, device_uuid: str) -> int:
        """What all of them hold of the device."""
        return self._bytes_on.get(device_uuid, 0)

    @cached_property
    def lease_ids(self) -> frozenset[int]:
        """All their leases."""
        return frozenset(lease_id for r in self.residents for _, lease_id, _ in r.shares)

    @cached_property
    def _on(self) -> dict[str, list[Resident]]:
        found: dict[str, list[Resident]] = defaultdict(list)
        for resident in self.residents:
            for uuid, _, size_bytes in resident.shares:
                if size_bytes and not (found[uuid] and found[uuid][-1] is resident):
                    found[uuid].append(resident)
        return found

    @cached_property
    def _bytes_on(self) -> dict[str, int]:
        sums: dict[str, int] = defaultdict(int)
        for resident in self.residents:
            for uuid, _, size_bytes in resident.shares:
                sums[uuid] += size_bytes
        return sums


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
        coming: All leases whose unloads have begun.
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
        self.coming = frozenset[int]().union(*(r.releasing() for r in self.rooms.values()))
        self.pinned = tuple(r for r in inputs.residents if r.pinned)
        self.movable = Leavers(self._movable(inputs))
        self.unprotected = Leavers(
            r for r in self.movable.residents if self.demand.protected or not r.protected
        )
        going = [r for r in self.movable.residents if self._may_go(r, inputs.now_s)]
        self.evictable = Leavers(r for r in going if self.demand.protected or not r.protected)
        self.last_resort = Leavers(going)
        self._ran_out = dict(self.demand.ran_out)
        self._after_release = {
            room.device.uuid: room.headroom_bytes(self.demand.purpose, self.coming)
            for room in self.usable
        }

    def missing_bytes(self, room: Room, variant: Variant) -> int | None:
        """What a usable GPU lacks for all of a variant once begun unloads are done.

        Negative or zero where it has room; ``None`` where it may not be loaded there.
        """
        uuid = room.device.uuid
        headroom = self._after_release[uuid]
        needed = bytes_on_gpu(self.demand, variant.cuda_bytes, uuid)
        if headroom is None or not self.may_take(room, needed):
            return None
        return needed - headroom

    def fits(self, candidate: Candidate, gone: Collection[int] = ()) -> bool:
        """Whether every device has room for its share once the leases ``gone`` are back."""
        return all(
            self._takes(share.device_uuid, share.size_bytes, gone) for share in candidate.shares
        )

    def short_of(self, candidate: Candidate) -> list[tuple[str, int]] | None:
        """``(UUID, bytes)`` that are missing where, once begun unloads are done.

        ``None`` where it can't be said, or where no room helps: a load of that size ran out there.
        """
        short: list[tuple[str, int]] = []
        for share in candidate.shares:
            room = self.rooms[share.device_uuid]
            headroom = room.headroom_bytes(self.demand.purpose, self.coming)
            if headroom is None or not self.may_take(room, share.size_bytes):
                return None
            if headroom < share.size_bytes:
                short.append((share.device_uuid, share.size_bytes - headroom))
        return short

    def may_take(self, room: Room, size_bytes: int) -> bool:
        """Whether a load of this size has not run out there lately."""
        ran_out = self._ran_out.get(room.device.uuid)
        return ran_out is None or size_bytes < ran_out

    def shortfall_bytes(self) -> int | None:
        """What is missing for the smallest variant where least is, with all gone that may go."""
        smallest = min(v.cuda_bytes for v in self.demand.variants)
        gone = self.movable.lease_ids
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
        gpus = {u: r for u, r in self.rooms.items() if r.device.kind is DeviceKind.CUDA}
        return tuple(gpus[uuid] for uuid in self.demand.device_order if uuid in gpus)

    def _is_usable(self, room: Room) -> bool:
        free = room.device.free_bytes
        return free is not None and free >= self.demand.min_free_bytes

    def _movable(self, inputs: PlanInputs) -> Iterable[Resident]:
        return (
            r
            for r in inputs.residents
            if not r.pinned
            and r.model != self.demand.model
            and not (self.coming and self.coming.issuperset(r.lease_ids))
        )

    def _may_go(self, resident: Resident, now_s: float) -> bool:
        """Idle for good; or a request has waited too long, and this model has had its turn.

        One that was just loaded serves what waits for it for a while, or two models that are both
        asked for would leave after one request each.
        """
        stayed_s, rules = now_s - resident.loaded_s, self.rules
        if self.demand.waited_s >= rules.drain_after_s:
            had_its_turn = stayed_s >= min(rules.min_residence_s, rules.drain_after_s)
            return had_its_turn or not resident.waiting
        settled = stayed_s >= rules.min_residence_s
        return (settled or resident.prefetched) and resident.in_flight == 0
