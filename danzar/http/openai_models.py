"""``GET /v1/models``: what may be asked, and at which route."""

from collections.abc import Iterator

from fastapi import APIRouter

from danzar.http.api_auth import Asking
from danzar.http.api_errors import ApiError, documented
from danzar.http.api_parts import ApiParts, Parts
from danzar.http.api_route import ApiRoute
from danzar.http.openai_answers import ModelFacts, ModelList
from danzar.http.openai_choice import ROUTE_OF_ROLE, names_with

router = APIRouter(route_class=ApiRoute)


@router.get("/models", response_model=ModelList, summary="Models that may be asked")
async def list_models(parts: Parts, caller: Asking) -> ModelList:
    """Models for chats, vectors and pictures: of this node, and of others."""
    return ModelList(data=list(_models(parts)))


@router.get(
    "/models/{model}", response_model=ModelFacts, responses=documented(404), summary="One model"
)
async def get_model(model: str, parts: Parts, caller: Asking) -> ModelFacts:
    """The model by this name."""
    for facts in _models(parts):
        if facts.id == model:
            return facts
    raise ApiError(404, f"there is no model {model[:80]!r}", param="model", code="model_not_found")


def _models(parts: ApiParts) -> Iterator[ModelFacts]:
    listed, targets = parts.config.models, parts.targets()
    views = {view.name: view for view in parts.models()}
    for role, route in ROUTE_OF_ROLE.items():
        for name in names_with(role, listed, targets):
            view, target = views.get(name), targets.get(name)
            yield ModelFacts(
                id=name,
                danzar={
                    "role": role,
                    "route": route,
                    "here": name in listed.models,
                    "state": None if view is None else view.state.value,
                    "device": None if view is None else view.device,
                    "nodes": [] if target is None else list(target.nodes),
                },
            )
