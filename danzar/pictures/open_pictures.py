"""Wires the pictures: the planner, the resource manager's preflight, and the queue."""

from collections.abc import Callable
from typing import Any

from danzar.config.settings import Config
from danzar.inference import Inference, MakeRequest, Outcome
from danzar.jobs.contract import Jobs
from danzar.pictures.limits import PictureRequest
from danzar.pictures.room import Plan
from danzar.pictures.service import Parts, PictureService
from danzar.resources.generations import (
    GenerationPlan,
    fitted,
    preflight_images,
    preflight_video,
    record_generation,
)
from danzar.resources.manager import ResourceManager
from danzar.workers.contract import GenerateImages, GenerateVideo


def open_pictures(
    config: Config,
    inference: Inference,
    resources: ResourceManager,
    card_name: Callable[[str], str | None],
    jobs: Jobs | None = None,
    elsewhere: Callable[[str], str | None] = lambda _: None,
) -> PictureService:
    """The service with all that this machine has.

    Args:
        config: All settings.
        inference: Whoever runs models here.
        resources: Says whether a request fits, and learns from runs.
        card_name: What the card that is shown as ``cuda:N`` is called; ``None`` unknown.
        jobs: The queue; ``None``: there is none.
        elsewhere: The best model of a role that other machines have; ``None``: none has one.
    """

    async def preflight(model: str, request: PictureRequest) -> Plan:
        if isinstance(request, GenerateImages):
            return await preflight_images(resources, config, model, request)
        return await preflight_video(resources, config, model, request)

    async def record(plan: Plan, outcome: Outcome) -> None:
        name = "cpu" if outcome.placed.device == "cpu" else card_name(outcome.placed.device)
        if isinstance(plan, GenerationPlan) and name is not None:
            typed: GenerationPlan[Any] = plan
            await record_generation(resources, typed, outcome, name)

    parts = Parts(
        inference=inference,
        jobs=jobs,
        elsewhere=elsewhere,
        preflight=preflight,
        fitted=_fitted,
        record=record,
    )
    return PictureService(parts, config)


def _fitted(request: PictureRequest) -> MakeRequest:
    match request:
        case GenerateImages():
            return fitted(request)
        case GenerateVideo():
            return fitted(request)
