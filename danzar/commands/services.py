"""The services for one command: as the bot has them, but without a trace on the disk."""

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from danzar.config.jobs import MEMORY_URL
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.models.checksums import Checksums
from danzar.services import Services, open_services


@asynccontextmanager
async def services_once(config: Config) -> AsyncIterator[Services]:
    """Services whose database is thrown away, so that a running bot's is left alone.

    Raises:
        danzar.errors.DanzarError: As ``open_services``.
    """
    with tempfile.TemporaryDirectory(prefix="danzar-", ignore_cleanup_errors=True) as folder:
        Checksums(data_folder(config)).copy_to(Path(folder))
        # A look is no node: it takes no job, and other machines need not know of it.
        jobs = config.bot.jobs.model_copy(
            update={"enabled": False, "url": MEMORY_URL, "keys": None}
        )
        bot = config.bot.model_copy(update={"data_dir": folder, "jobs": jobs})
        async with open_services(config.model_copy(update={"bot": bot})) as services:
            yield services
