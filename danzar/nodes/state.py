"""What a node tells the others about itself: the digital twin of one machine.

Sizes are bytes; ``None`` is unknown and never zero. Times are seconds of the queue server's clock,
so that machines whose clocks differ agree on who is alive.
"""

from enum import StrEnum

import msgspec

from danzar.nodes.choice import Fit


class Phase(StrEnum):
    """What a living node does. One that is lost says nothing: others find it out."""

    SERVING = "serving"
    DRAINING = "draining"


class NodeDevice(msgspec.Struct, frozen=True):
    """One device of a node.

    Attributes:
        label: ``cuda:N`` or ``cpu``, on that node.
        room_bytes: What it leaves for a further model that nothing is kept for.
        own_bytes: What Danzar booked there.
    """

    label: str
    name: str
    total_bytes: int
    free_bytes: int | None
    used_bytes: int | None
    room_bytes: int | None
    own_bytes: int
    simulated: bool


class NodeModel(msgspec.Struct, frozen=True):
    """One model that a node knows.

    Attributes:
        role: What it is for, as in ``models.yaml``; ``backend`` likewise.
        state: ``cold``, ``loading``, ``ready``, ...
        fit: What it takes to answer with it there.
        device: Where it is, or would go; ``None`` where nowhere.
        card_bytes: Capacity of the card it is on or would go to; 0 for host RAM.
        size_bytes: What it holds there, or would take as configured.
        degraded: It runs, or would run, worse than configured; the reason in ``why``.
        why: One sentence with the numbers.
        jobs: Of the queue, that run there now.
    """

    name: str
    role: str
    backend: str
    state: str
    fit: Fit
    device: str | None
    card_bytes: int
    size_bytes: int
    degraded: bool
    why: str
    jobs: int = 0


class NodeState(msgspec.Struct, frozen=True):
    """One machine at one instant.

    Attributes:
        run: Made anew with every start, so that a restart under the same name can be told.
        began_at: When it started.
        phase_at: When it began to serve or to drain.
        failure_after_s: Without a sign of life for so long, it counts as lost.
        jobs: Of the queue, that it runs now.
    """

    name: str
    run: str
    version: str
    phase: Phase
    began_at: float
    phase_at: float
    failure_after_s: float
    devices: tuple[NodeDevice, ...]
    models: tuple[NodeModel, ...]
    jobs: int = 0

    def model(self, name: str) -> NodeModel | None:
        """What it says about a model; ``None`` where it does not know it."""
        return next((model for model in self.models if model.name == name), None)
