"""What the API's routes work with, and how a route gets at it."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, cast

from fastapi import Depends
from fastapi.requests import HTTPConnection

from danzar.broker.model_view import ModelView
from danzar.config.api import ApiSettings
from danzar.config.settings import Config
from danzar.core.device_memory import DeviceMemory
from danzar.http.api_keys import ApiKeys
from danzar.http.api_limits import RequestRate, Seats
from danzar.http.api_owners import JobsOfOwner
from danzar.http.api_targets import Target
from danzar.inference import Inference
from danzar.jobs.contract import Jobs
from danzar.pictures.service import Parts as PictureParts
from danzar.vision.service import VisionService


@dataclass(frozen=True, slots=True)
class ApiParts:
    """Everything that routes see.

    Attributes:
        models: Every model of this machine, as it is now.
        devices: Every device of this machine, as it was measured last.
        targets: What a job may name, on this machine or another node, by name.
        queue_is_up: The queue's server answers.
        vision: Looks at pictures in messages.
        pictures: Says whether a picture fits before it is made; ``None``: the planner alone.
        closing: Set when the server stops; streams end then.
    """

    inference: Inference
    jobs: Jobs
    config: Config
    keys: ApiKeys
    models: Callable[[], tuple[ModelView, ...]]
    devices: Callable[[], tuple[DeviceMemory, ...]]
    targets: Callable[[], dict[str, Target]]
    queue_is_up: Callable[[], bool] = lambda: True
    vision: VisionService | None = None
    pictures: PictureParts | None = None
    owners: JobsOfOwner = field(default_factory=JobsOfOwner)
    rate: RequestRate = field(default_factory=RequestRate)
    seats: Seats = field(default_factory=Seats)
    closing: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def settings(self) -> ApiSettings:
        """The API's own."""
        return self.config.bot.api


def get_parts(connection: HTTPConnection) -> ApiParts:
    """The parts of the application that serves this connection."""
    return cast("ApiParts", connection.app.state.parts)


Parts = Annotated[ApiParts, Depends(get_parts)]
