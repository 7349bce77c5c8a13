"""``danzar serve``: the HTTP API without Discord."""

import sys
from typing import Any

from danzar.app import control_routes
from danzar.config.api import ApiSettings
from danzar.config.settings import Config
from danzar.errors import BadInput
from danzar.serving import run_server


async def serve(config: Config, host: str | None, port: int | None) -> None:
    """Serve until cancelled; ``host`` and ``port`` win over the settings.

    Raises:
        danzar.errors.DanzarError: A part could not be opened.
    """
    await run_server(_with_address(config, host, port), control_routes, _say)


def _with_address(config: Config, host: str | None, port: int | None) -> Config:
    given: dict[str, Any] = {"host": host, "port": port, "enabled": True}
    changes = {key: value for key, value in given.items() if value is not None}
    if host == "":
        raise BadInput("--host is empty; name an address, for example 127.0.0.1")
    api: ApiSettings = config.bot.api.model_copy(update=changes)
    return config.model_copy(update={"bot": config.bot.model_copy(update={"api": api})})


def _say(address: str) -> None:
    sys.stdout.write(f"Danzar serves at {address} (description: {address}/docs). Ctrl-C ends it.\n")
    sys.stdout.flush()
