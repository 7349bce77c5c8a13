"""Danzar for programs: the API over the services, beside a bot or without Discord."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.desk import Routes, open_desk
from danzar.heap import set_imports_apart
from danzar.http.api import make_api
from danzar.http.api_keys import FILE, ApiKeys
from danzar.http.api_parts import ApiParts
from danzar.http.api_server import (
    ApiServerError,
    check_reach,
    serve_api,
    warn_of_plain_http,
)
from danzar.http.api_targets import Target, local_targets, merge_targets
from danzar.jobs.service import JobService
from danzar.services import Services, open_services, preload

log = logging.getLogger(__name__)


async def run_server(config: Config, routes: Routes, on_address: Callable[[str], None]) -> None:
    """Serve programs until cancelled.

    Args:
        config: All settings.
        routes: What commands on this machine may ask of it.
        on_address: Called with the API's address once it listens.

    Raises:
        danzar.errors.DanzarError: A part could not be opened.
    """
    async with _open_keys(config):
        pass  # Whatever must not be served is refused before anything is loaded.
    async with AsyncExitStack() as stack:
        services = await stack.enter_async_context(open_services(config))
        await stack.enter_async_context(open_desk(services, routes, None))
        preload(services)
        on_address(await stack.enter_async_context(open_api(services)))
        set_imports_apart()
        await asyncio.Event().wait()


@asynccontextmanager
async def open_api(services: Services) -> AsyncIterator[str]:
    """Serve the API while the context lasts; yields its address.

    Raises:
        ApiServerError: It can't, or must not, listen where it should.
    """
    settings = services.config.bot.api
    async with _open_keys(services.config) as keys:
        warn_of_plain_http(settings)
        parts = _parts(services, _jobs_of(services), keys)
        async with serve_api(make_api(parts), settings, parts.closing) as address:
            log.info("API at %s, its description at %s/docs", address, address)
            yield address


@asynccontextmanager
async def _open_keys(config: Config) -> AsyncIterator[ApiKeys]:
    async with ApiKeys.open(data_folder(config) / FILE) as keys:
        await check_reach(config.bot.api, keys)
        yield keys


def _jobs_of(services: Services) -> JobService:
    if services.jobs is None:
        raise ApiServerError("the API needs jobs: set jobs.enabled: true in bot_config.yaml")
    return services.jobs


def _parts(services: Services, jobs: JobService, keys: ApiKeys) -> ApiParts:
    return ApiParts(
        inference=services.manager,
        jobs=jobs,
        config=services.config,
        keys=keys,
        models=services.manager.models,
        devices=services.gpu_memory_manager.devices,
        targets=partial(_targets, services),
        queue_is_up=lambda: jobs.healthy,
        vision=services.vision,
        pictures=services.pictures.parts,
    )


def _targets(services: Services) -> dict[str, Target]:
    living = (member.state for member in services.nodes.all() if member.takes_jobs)
    others = (
        (state.name, model.name, model.role)
        for state in living
        if state.name != services.nodes.name
        for model in state.models
    )
    return merge_targets(local_targets(services.config.models), others)
