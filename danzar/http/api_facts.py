"""How this machine and its models are: ``GET /models`` and ``GET /health``."""

from collections.abc import Iterable, Mapping
from importlib import metadata

from fastapi import APIRouter, Response

from danzar.broker.model_view import ModelView
from danzar.config.models import ModelEntry
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.http.api_auth import Asking
from danzar.http.api_bodies import Health, ModelInfo
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute
from danzar.http.api_targets import KIND_OF_ROLE, Target
from danzar.jobs.contract import Jobs, QueueUnavailable
from danzar.units import MIB

_INTERNAL = "media"
_UNHEALTHY = 503

router = APIRouter(route_class=ApiRoute, tags=["machine"])


@router.get("/models")
async def get_models(_caller: Asking, parts: Parts) -> list[ModelInfo]:
    """Name every model, and say where it is."""
    return list_models(parts.config.models.models, parts.models(), parts.targets())


@router.get(
    "/health",
    responses={_UNHEALTHY: {"model": Health, "description": "The queue can't be used."}},
)
async def get_health(_caller: Asking, parts: Parts, response: Response) -> Health:
    """Say how this machine is: free memory, loaded models, waiting jobs."""
    waiting = await _waiting(parts.jobs)
    health = describe_health(parts, waiting)
    if health.status != "healthy":
        response.status_code = _UNHEALTHY
    return health


def list_models(
    entries: Mapping[str, ModelEntry],
    views: Iterable[ModelView],
    targets: Mapping[str, Target],
) -> list[ModelInfo]:
    """This machine's models in the order of ``models.yaml``, then those of other nodes alone."""
    by_name = {view.name: view for view in views}
    own = [name for name, entry in entries.items() if entry.role != _INTERNAL]
    others = [name for name in targets if name not in entries]
    return [
        _model_info(name, entries.get(name), by_name.get(name), targets.get(name))
        for name in (*own, *others)
    ]


def _model_info(
    name: str, entry: ModelEntry | None, view: ModelView | None, target: Target | None
) -> ModelInfo:
    role = "" if entry is None else entry.role
    kind = target.kind if target is not None else KIND_OF_ROLE.get(role, role)
    return ModelInfo(
        name=name,
        type=str(kind),
        vram_mb=None if view is None else _bytes_of(view) // MIB,
        loaded=view is not None and view.is_loaded,
        state=None if view is None else str(view.state),
        device=None if view is None else view.device,
        simulated=view is not None and view.simulated,
        takes_jobs=target is not None,
        nodes=list(target.nodes) if target is not None else [],
    )


def _bytes_of(view: ModelView) -> int:
    return view.leased_bytes if view.is_loaded else view.estimated_bytes


def describe_health(parts: ApiParts, waiting: int | None) -> Health:
    """The answer; ``waiting`` is ``None`` where the queue can't be asked."""
    cards = [d for d in parts.devices() if d.snapshot.kind is DeviceKind.CUDA]
    views, internal = parts.models(), parts.config.models.use.media
    is_up = waiting is not None and parts.queue_is_up()
    return Health(
        status="healthy" if is_up else "unhealthy",
        vram_free_mb=_free_mib(cards),
        loaded_models=[v.name for v in views if v.is_loaded and v.name != internal],
        models_available=len(parts.targets()),
        jobs_queued=waiting,
        redis_connected=is_up,
        simulated=any(card.snapshot.simulated for card in cards),
        version=metadata.version("danzar"),
    )


def _free_mib(cards: Iterable[DeviceMemory]) -> int | None:
    """Of all cards; ``None`` where the driver does not tell one's."""
    free = [card.free_bytes for card in cards]
    known = [size_bytes for size_bytes in free if size_bytes is not None]
    return sum(known) // MIB if len(known) == len(free) else None


async def _waiting(jobs: Jobs) -> int | None:
    try:
        return sum((await jobs.waiting()).values())
    except QueueUnavailable:
        return None
