"""The GPUs over which a model may be divided, while models leave them one by one. Pure."""

from collections.abc import Iterator, Sequence

from danzar.core.candidates import bytes_on_gpu
from danzar.core.eviction import Resident
from danzar.core.plan_view import Leavers, View
from danzar.core.variant import LayerShape


class SplitRooms:
    """Keeps the headrooms while models leave, so that each one changes its own devices only.

    Attributes:
        left: Who has left, in that order.
    """

    def __init__(self, view: View, shape: LayerShape) -> None:
        """Begin with the usable GPUs once begun unloads are done."""
        self.left: list[Resident] = []
        self._view = view
        self._shape = shape
        self._gone = set(view.coming)
        self._headrooms: dict[str, int] = {}
        self._layers: dict[str, int] = {}
        for room in view.usable:
            self._measure(room.device.uuid)

    @property
    def gone(self) -> frozenset[int]:
        """The leases that are given back by now."""
        return frozenset(self._gone)

    @property
    def headrooms(self) -> list[tuple[str, int]]:
        """``(UUID, bytes)`` of each GPU that could be measured, best first."""
        return list(self._headrooms.items())

    @property
    def is_enough(self) -> bool:
        """Whether there is room for all layers."""
        return sum(self._layers.values()) >= self._shape.layers

    def most_layers(self, leavers: Leavers) -> int:
        """How many layers would have room without all of the leavers."""
        gone = self._gone | leavers.lease_ids
        found = (
            self._layers_in(room.device.uuid, headroom)
            for room in self._view.usable
            if (headroom := room.headroom_bytes(self._view.demand.purpose, gone)) is not None
        )
        return sum(found)

    def emptied_by(self, leavers: Leavers) -> Iterator[Sequence[Resident]]:
        """Who has left, whenever there is room for all layers; the cheapest leave first."""
        if self.is_enough:
            yield self.left
        for resident in sorted(leavers.residents, key=lambda r: (r.cost_s, r.model)):
            self.send_away(resident)
            if self.is_enough:
                yield self.left

    def send_away(self, resident: Resident) -> None:
        """Let a model leave."""
        self.left.append(resident)
        self._gone.update(resident.lease_ids)
        self._measure_all(resident)

    def bring_back(self, resident: Resident) -> None:
        """Let a model that left be there again."""
        self.left.remove(resident)
        self._gone.difference_update(resident.lease_ids)
        self._measure_all(resident)

    def _measure_all(self, resident: Resident) -> None:
        for uuid, _, _ in resident.shares:
            if uuid in self._headrooms:
                self._measure(uuid)

    def _measure(self, uuid: str) -> None:
        headroom = self._view.rooms[uuid].headroom_bytes(self._view.demand.purpose, self._gone)
        if headroom is not None:
            self._headrooms[uuid] = headroom
            self._layers[uuid] = self._layers_in(uuid, headroom)

    def _layers_in(self, uuid: str, headroom_bytes: int) -> int:
        fixed_bytes = bytes_on_gpu(self._view.demand, self._shape.fixed_bytes, uuid)
        return max(0, (headroom_bytes - fixed_bytes) // max(1, self._shape.layer_bytes))
