"""What the planner knows of a model, and of one request for it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from danzar.core.asker import NOBODY, Asker
from danzar.core.device import DeviceKind, DeviceSnapshot, matches_device
from danzar.core.variant import Variant


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model as the planner sees it.

    Attributes:
        worker: Models of one worker share a process, and so a CUDA context, per device.
        purpose: ``chat`` or ``vision``: what reservations and budgets count by.
        variants: The ways to load it, best first; at least one.
        context_bytes: The CUDA context of a process, paid by the worker's first model on a GPU.
        process_bytes: Host RAM of the worker's process.
        preferred: Devices to try first (``cuda:N`` or UUID), best first.
        min_free_bytes: A GPU with less measured free memory than this is not used.
        wants_cpu: It runs on the CPU by nature; GPUs are not tried.
        slots: Requests that it serves at once.
        priority: Higher stays longer, under pressure and under the ``priority`` policy.
        pinned: Never evicted and never unloaded by itself.
        protected: Never moved because other programs want the card.
        fallback: A smaller model that answers instead where this one can't be placed.
        warm_bytes: What its weights take in host RAM when they are kept there; 0: they can't be.
        batch: Pictures that it computes at once as configured; ``None`` where it has no batches.
    """

    name: str
    worker: str
    purpose: str
    variants: tuple[Variant, ...]
    context_bytes: int = 0
    process_bytes: int = 0
    preferred: tuple[str, ...] = ()
    min_free_bytes: int = 0
    allow_cpu: bool = True
    wants_cpu: bool = False
    slots: int = 1
    priority: int = 0
    pinned: bool = False
    protected: bool = False
    fallback: str | None = None
    warm_bytes: int = 0
    batch: int | None = None

    @property
    def cuda_bytes(self) -> int:
        """What it takes on a GPU as configured, without the CUDA context."""
        return self.variants[0].cuda_bytes

    @property
    def configured_bytes(self) -> int:
        """What it takes where it belongs, as configured: on a GPU, or in host RAM."""
        return self.variants[0].host_bytes if self.wants_cpu else self.cuda_bytes


@dataclass(frozen=True, slots=True)
class Job:
    """One request that waits for or runs on a model.

    Attributes:
        retried: It ran before and its worker or its memory was lost before the first part.
        note: Why another model answers than the one that was asked; ``None`` when it does not.
        asker: Who waits for it, and for what.
    """

    job_id: int
    model: str
    submitted_s: float
    retried: bool = False
    note: str | None = None
    asker: Asker = NOBODY


def device_order(facts: ModelFacts, snapshots: Sequence[DeviceSnapshot]) -> tuple[str, ...]:
    """UUIDs of all GPUs: preferred ones first, then the most free; unknown free comes last."""
    gpus = [s for s in snapshots if s.kind is DeviceKind.CUDA]
    first = [s for wanted in facts.preferred for s in gpus if matches_device(s, wanted)]
    rest = sorted((s for s in gpus if s not in first), key=_most_free_first)
    return tuple(dict.fromkeys(s.uuid for s in (*first, *rest)))


def _most_free_first(snapshot: DeviceSnapshot) -> tuple[int, int]:
    return (-(snapshot.free_bytes or 0), snapshot.index)
