"""Whether an eviction was worth it: it is judged when the demand is placed, or given up. Pure.

Futile is an eviction after which the demand was not placed on that device, or whose room was not
needed: the demand would have fitted with the victim still there.
"""

from dataclasses import dataclass, field

from danzar.core.eviction import Resident
from danzar.core.plan import NeedsEviction, PlacedOn, PlanInputs
from danzar.core.room import rooms_of


@dataclass(slots=True)
class _Pending:
    device_uuid: str
    victims: list[Resident] = field(default_factory=list)


class EvictionJudge:
    """Follows the decisions for each model that needed room."""

    def __init__(self) -> None:
        """Nothing is pending."""
        self._pending: dict[str, list[_Pending]] = {}

    def evicted(self, inputs: PlanInputs, plan: NeedsEviction) -> int:
        """Note an eviction; returns how many models go."""
        victims = [r for r in inputs.residents if r.model in plan.victims]
        known = self._pending.setdefault(inputs.demand.model, [])
        known.append(_Pending(plan.device_uuid, victims))
        return len(victims)

    def placed(self, inputs: PlanInputs, plan: PlacedOn) -> list[str]:
        """Judge what was evicted for it; one sentence for each futile eviction."""
        model = inputs.demand.model
        where = {s.device_uuid for s in plan.shares}
        return [
            f"{victim.model} went for {model}: {why}"
            for pending in self._pending.pop(model, ())
            for victim in pending.victims
            if (why := _why_futile(inputs, plan, pending.device_uuid in where, victim))
        ]

    def given_up(self, model: str) -> list[str]:
        """The demand is gone before it was placed."""
        return [
            f"{victim.model} went for {model}, which was not loaded"
            for pending in self._pending.pop(model, ())
            for victim in pending.victims
        ]


def _why_futile(inputs: PlanInputs, plan: PlacedOn, there: bool, victim: Resident) -> str | None:
    if not there:
        return "it was placed elsewhere"
    rooms = rooms_of(inputs.book, inputs.devices)
    for share in plan.shares:
        headroom = rooms[share.device_uuid].headroom_bytes(inputs.demand.purpose)
        spared = victim.bytes_on(share.device_uuid)
        still_there = any(x.lease_id in victim.lease_ids for x in inputs.book.leases)
        if headroom is None or headroom - (0 if still_there else spared) < share.size_bytes:
            return None
    return "its room was not needed"
