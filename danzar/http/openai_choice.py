"""Which model a client means, and what it may be asked. Pure."""

from collections.abc import Mapping

from danzar.config.models import ModelsConfig
from danzar.config.problems import nearest
from danzar.http.api_errors import ApiError
from danzar.http.api_targets import JobKind, Target

_KIND_OF_ROLE = {"chat": JobKind.LLM, "imagine": JobKind.DIFFUSION}
ROUTE_OF_ROLE = {
    "chat": "/v1/chat/completions",
    "rank": "/v1/embeddings",
    "imagine": "/v1/images/generations",
}


def choose_model(name: str, role: str, models: ModelsConfig, targets: Mapping[str, Target]) -> str:
    """The name of a model that can do what its role says.

    Args:
        name: As the client wrote it.
        role: ``chat``, ``rank`` or ``imagine``.
        models: Those of this node.
        targets: Those that take jobs, of other nodes too.

    Raises:
        ApiError: 404, no such model; 400, it is for something else.
    """
    fitting = names_with(role, models, targets)
    if name in fitting:
        return name
    if name in models.models:
        raise _other_role(name, models.models[name].role, role, fitting)
    close = nearest(name, fitting)
    hint = f"did you mean {close}?" if close else f"models that it can be: {_list(fitting)}"
    raise ApiError(
        404, f"there is no model {name[:80]!r}; {hint}", param="model", code="model_not_found"
    )


def names_with(role: str, models: ModelsConfig, targets: Mapping[str, Target]) -> list[str]:
    """Models with this role, this node's first."""
    here = [name for name, entry in models.models.items() if entry.role == role]
    kind = _KIND_OF_ROLE.get(role)
    there = [n for n, target in targets.items() if kind is not None and target.kind is kind]
    return list(dict.fromkeys([*here, *there]))


def _other_role(name: str, is_for: str, wanted: str, fitting: list[str]) -> ApiError:
    route = ROUTE_OF_ROLE.get(is_for)
    hint = f"ask it at {route}; " if route else ""
    return ApiError(
        400,
        f"{name} has the role {is_for}, not {wanted}; {hint}models with that role: "
        f"{_list(fitting)}",
        param="model",
        code="model_not_supported",
    )


def _list(names: list[str]) -> str:
    return ", ".join(names) or "none"
