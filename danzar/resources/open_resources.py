"""Builds the resource manager of a running Danzar."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from danzar.broker.upkeep import Upkeep
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.core.upkeep import AllocatorView
from danzar.errors import TelemetryUnavailable
from danzar.resources.machine import Machine
from danzar.resources.manager import Parts, ResourceManager
from danzar.resources.profiles import load_profiles
from danzar.resources.runs import RUNS_FILE, Runs
from danzar.telemetry.base import Telemetry
from danzar.telemetry.nvml import NvmlTelemetry

RESULTS_FOLDER = "generated"


async def compute_capabilities(telemetry: Telemetry) -> dict[str, str]:
    """By UUID, as the driver says; nothing where there is none, or it does not answer."""
    if not isinstance(telemetry, NvmlTelemetry):
        return {}
    try:
        return await telemetry.compute_capabilities()
    except TelemetryUnavailable:
        return {}


def cached_by_device(views: Sequence[AllocatorView]) -> dict[str, int]:
    """What torch's allocators keep and do not use, by UUID, where any of them says."""
    found: dict[str, int] = {}
    for view in views:
        if view.reserved_bytes is not None and view.allocated_bytes is not None:
            idle = max(0, view.reserved_bytes - view.allocated_bytes)
            found[view.device_uuid] = found.get(view.device_uuid, 0) + idle
    return found


@asynccontextmanager
async def open_resources(
    config: Config, machine: Machine, upkeep: Upkeep
) -> AsyncIterator[ResourceManager]:
    """The manager with the owner's profiles and what earlier generations took.

    Args:
        config: Says where settings and data are.
        machine: What there is to generate on.
        upkeep: Trims the workers, and knows what their allocators keep.

    Raises:
        danzar.errors.ConfigError: The owner's profiles are wrong; one line per mistake.
        danzar.errors.StoreFailed: The file of the runs can't be used.
    """
    profiles = await asyncio.to_thread(load_profiles, config.folder)
    data = data_folder(config)
    async with Runs.open(data / RUNS_FILE) as runs:
        yield ResourceManager(
            Parts(
                machine=machine,
                folder=data / RESULTS_FOLDER,
                profiles=profiles,
                runs=runs,
                trim=upkeep.trim,
                cached_bytes=lambda: cached_by_device(upkeep.memory()),
                cpu_threads=os.cpu_count() or 1,
            )
        )
