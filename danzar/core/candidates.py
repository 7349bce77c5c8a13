"""The concrete ways to put one variant of a model on devices. Pure.

Sizes of parts of a model are on the safe side: each layer counts as the largest one.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from danzar.core.plan import Demand, Share
from danzar.core.variant import Rung, Setting, Variant

# The backend's names for "how many layers on the card" and "how they divide over cards".
LAYERS_SETTING = "n_gpu_layers"
SPLIT_SETTING = "layer_split"


@dataclass(frozen=True, slots=True)
class Candidate:
    """A variant, with what it takes of each device; the hosting one first."""

    rung: Rung
    shares: tuple[Share, ...]
    settings: tuple[tuple[str, Setting], ...]
    loss: str


def bytes_on_gpu(demand: Demand, size_bytes: int, uuid: str) -> int:
    """A size with the CUDA context where a new process must pay for one."""
    return size_bytes + (0 if uuid in demand.shared_on else demand.context_bytes)


def bytes_on_host(demand: Demand, size_bytes: int, uuid: str) -> int:
    """A size with the process itself, where it must be started."""
    return size_bytes + (0 if uuid in demand.shared_on else demand.process_bytes)


def whole(demand: Demand, variant: Variant, uuid: str, host_uuid: str | None) -> Candidate:
    """All of it on one GPU."""
    share = Share(uuid, bytes_on_gpu(demand, variant.cuda_bytes, uuid))
    beside = _beside(demand, variant.beside_bytes, uuid, host_uuid)
    return Candidate(variant.rung, (share, *beside), variant.settings, variant.loss)


def on_host(demand: Demand, variant: Variant, host_uuid: str) -> Candidate:
    """All of it in host RAM."""
    share = Share(host_uuid, bytes_on_host(demand, variant.host_bytes, host_uuid))
    return Candidate(Rung.CPU, (share,), variant.settings, variant.loss)


def split(
    demand: Demand,
    variant: Variant,
    headrooms: Iterable[tuple[str, int]],
    host_uuid: str | None,
) -> Candidate | None:
    """All of it over the fewest GPUs; ``None`` if they do not have room, or it can't be divided.

    ``headrooms`` is ``(UUID, bytes)`` of each GPU.
    """
    shape = variant.layers
    if shape is None:
        return None
    shares: list[Share] = []
    left = shape.layers
    for uuid, headroom_bytes in sorted(headrooms, key=lambda x: -x[1]):
        fixed_bytes = bytes_on_gpu(demand, shape.fixed_bytes, uuid)
        here = min(left, (headroom_bytes - fixed_bytes) // max(1, shape.layer_bytes))
        if here > 0:
            shares.append(Share(uuid, fixed_bytes + here * shape.layer_bytes, here))
            left -= here
        if left == 0:
            return _divided(demand, variant, shares, host_uuid)
    return None


def _divided(
    demand: Demand, variant: Variant, shares: list[Share], host_uuid: str | None
) -> Candidate | None:
    if len(shares) < 2:  # noqa: PLR2004 - one card is no split
        return None
    parts = ":".join(str(s.layers) for s in shares)
    beside = _beside(demand, variant.beside_bytes, shares[0].device_uuid, host_uuid)
    settings = (*variant.settings, (SPLIT_SETTING, parts))
    loss = f"over {len(shares)} cards {variant.loss}".strip()
    return Candidate(Rung.SPLIT, (*shares, *beside), settings, loss)


def partial(
    demand: Demand, variant: Variant, uuid: str, headroom_bytes: int, host_uuid: str
) -> Candidate | None:
    """As many layers as fit on one GPU, the others in host RAM; ``None`` if none fits."""
    shape = variant.layers
    if shape is None:
        return None
    fixed_bytes = bytes_on_gpu(demand, shape.fixed_bytes, uuid)
    fitting = (headroom_bytes - fixed_bytes) // max(1, shape.layer_bytes)
    here = min(shape.layers - 1, fitting)
    if here < 1:
        return None
    left_bytes = min((shape.layers - here) * shape.layer_bytes, variant.host_bytes)
    shares = (
        Share(uuid, fixed_bytes + here * shape.layer_bytes, here),
        *_beside(demand, variant.beside_bytes + left_bytes, uuid, host_uuid),
    )
    beginning = f"{variant.loss} and" if variant.loss else "with"
    loss = f"{beginning} {here} of {shape.layers} layers on the card"
    return Candidate(Rung.LAYERS, shares, (*variant.settings, (LAYERS_SETTING, here)), loss)


def _beside(demand: Demand, size_bytes: int, uuid: str, host_uuid: str | None) -> tuple[Share, ...]:
    if host_uuid is None:
        return ()
    needed = size_bytes + (0 if uuid in demand.shared_on else demand.process_bytes)
    return (Share(host_uuid, needed),) if needed else ()
