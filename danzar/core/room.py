"""What a device has room for, given the driver's figures and the book. Pure.

headroom = min(measured free - loads in flight, limit - all leases)
           - other purposes' unfilled reservations - margin
and at most: budget of the purpose - its leases

What is kept warm counts as free: it leaves at once for whoever needs the room.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from danzar.core.book import WARM_PURPOSE, Book, Lease, LeaseState, Reservation
from danzar.core.device import DeviceKind, DeviceSnapshot


@dataclass(frozen=True, slots=True)
class Room:
    """One device and what is booked on it; made once per plan.

    Attributes:
        leases: Those on this device, but for what is kept warm.
        by_id: The same, by their ids.
        held_bytes: Their sum by purpose.
        claimed_bytes: The sum of those that are not taken yet.
        reservations: Those on this device.
        limit_bytes: The most Danzar may lease here; ``None`` for no limit.
        warm_bytes: What is kept warm here, and taken.
    """

    device: DeviceSnapshot
    leases: tuple[Lease, ...]
    by_id: Mapping[int, Lease]
    held_bytes: Mapping[str, int]
    claimed_bytes: int
    reservations: tuple[Reservation, ...]
    budgets_bytes: Mapping[str, int]
    limit_bytes: int | None
    margin_bytes: int
    warm_bytes: int = 0

    def headroom_bytes(self, purpose: str, gone: Collection[int] = ()) -> int | None:
        """What a new lease of ``purpose`` may take once the leases ``gone`` have been given back.

        Negative when overbooked; ``None`` when the driver did not say what is free. Quick where
        ``gone`` is a set, however many leases there are here.
        """
        if self.device.free_bytes is None:
            return None
        free = self.device.free_bytes + self.warm_bytes - self.claimed_bytes
        held = self.held_bytes
        if gone:
            back = self._leases_in(gone)
            held = _without(held, back)
            free += sum(x.size_bytes for x in back)
        if self.limit_bytes is not None:
            free = min(free, self.limit_bytes - sum(held.values()))
        free -= self.margin_bytes
        if self.reservations:
            free -= self._kept_bytes(purpose, held)
        budget = self.budgets_bytes.get(purpose)
        if budget is None or self.device.kind is DeviceKind.CPU:
            return free
        return min(free, budget - held.get(purpose, 0))

    def _leases_in(self, gone: Collection[int]) -> list[Lease]:
        if len(gone) <= len(self.by_id):
            return [self.by_id[x] for x in gone if x in self.by_id]
        return [lease for lease_id, lease in self.by_id.items() if lease_id in gone]

    def _kept_bytes(self, purpose: str, held: Mapping[str, int]) -> int:
        return sum(
            max(0, r.size_bytes - held.get(r.purpose, 0))
            for r in self.reservations
            if r.purpose != purpose
        )

    def releasing(self) -> frozenset[int]:
        """Ids of the leases whose unloads have begun."""
        return frozenset(x.lease_id for x in self.leases if x.state is LeaseState.RELEASING)

    def foreign_bytes(self, own_pids: Collection[int] = ()) -> int | None:
        """What other programs hold, with what the driver keeps for itself; ``None`` unknown.

        Where the driver does not say what Danzar's processes hold, the leases stand for it, those
        of loads in flight included: a load is not foreign use.
        """
        if self.device.used_bytes is None:
            return None
        own = self.own_bytes(own_pids)
        if own is None:
            own = self.warm_bytes + sum(x.size_bytes for x in self.leases)
        return max(0, self.device.used_bytes - own)

    def own_bytes(self, own_pids: Collection[int]) -> int | None:
        """What Danzar's processes hold by the driver's figures; ``None``: it does not say."""
        own = [p.used_bytes for p in self.device.processes if p.pid in own_pids]
        known = [used for used in own if used is not None]
        return sum(known) if own and len(known) == len(own) else None


def rooms_of(book: Book, snapshots: Iterable[DeviceSnapshot]) -> dict[str, Room]:
    """A room for each device, by UUID."""
    by_id: dict[str, dict[int, Lease]] = defaultdict(dict)
    held: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    claimed: dict[str, int] = defaultdict(int)
    warm: dict[str, int] = defaultdict(int)
    for lease in book.leases:
        uuid = lease.device_uuid
        if lease.purpose == WARM_PURPOSE:
            warm[uuid] += lease.size_bytes if lease.state is not LeaseState.CLAIMED else 0
            continue
        by_id[uuid][lease.lease_id] = lease
        held[uuid][lease.purpose] += lease.size_bytes
        if lease.state is LeaseState.CLAIMED:
            claimed[uuid] += lease.size_bytes
    reservations: dict[str, list[Reservation]] = defaultdict(list)
    for reservation in book.reservations:
        reservations[reservation.device_uuid].append(reservation)
    limits = {limit.device_uuid: limit.size_bytes for limit in book.limits}
    budgets = dict(book.budgets_bytes)
    return {
        s.uuid: Room(
            s,
            tuple(by_id[s.uuid].values()),
            by_id[s.uuid],
            held.get(s.uuid, {}),
            claimed.get(s.uuid, 0),
            tuple(reservations.get(s.uuid, ())),
            budgets,
            limits.get(s.uuid),
            book.margins.on(s),
            warm.get(s.uuid, 0),
        )
        for s in snapshots
    }


def _without(held_bytes: Mapping[str, int], back: Iterable[Lease]) -> Mapping[str, int]:
    left = dict(held_bytes)
    for lease in back:
        left[lease.purpose] -= lease.size_bytes
    return left
