"""What the planner knows of a model, and of one request for it. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass

from danzar.core.device import DeviceKind, DeviceSnapshot, matches_device


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model as the planner sees it.

    Attributes:
        engine: Models of one engine share a process, and so a CUDA context, per device.
        purpose: ``chat`` or ``vision``: what reservations and budgets count by.
        cuda_bytes: Weights, caches and activations on a GPU.
        context_bytes: The CUDA context of a process, paid by the engine's first model on a GPU.
        host_bytes: Host RAM when it runs on the CPU.
        preferred: Devices to try first (``cuda:N`` or UUID), best first.
        min_free_bytes: A GPU with less measured free memory than this is not used.
        wants_cpu: It runs on the CPU by nature; GPUs are not tried.
        slots: Requests that it serves at once.
        priority: Higher stays longer under the ``priority`` policy.
    """

    name: str
    engine: str
    purpose: str
    cuda_bytes: int
    context_bytes: int
    host_bytes: int
    preferred: tuple[str, ...] = ()
    min_free_bytes: int = 0
    allow_cpu: bool = True
    wants_cpu: bool = False
    slots: int = 1
    priority: int = 0
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One request that waits for or runs on a model.

    Attributes:
        retried: Its worker was lost before the first part, and it is asked a second time.
    """

    job_id: int
    model: str
    submitted_s: float
    retried: bool = False


def device_order(facts: ModelFacts, snapshots: Sequence[DeviceSnapshot]) -> tuple[str, ...]:
    """UUIDs of all GPUs: preferred ones first, then the most free; unknown free comes last."""
    gpus = [s for s in snapshots if s.kind is DeviceKind.CUDA]
    first = [s for wanted in facts.preferred for s in gpus if matches_device(s, wanted)]
    rest = sorted((s for s in gpus if s not in first), key=_most_free_first)
    return tuple(dict.fromkeys(s.uuid for s in (*first, *rest)))


def _most_free_first(snapshot: DeviceSnapshot) -> tuple[int, int]:
    return (-(snapshot.free_bytes or 0), snapshot.index)
