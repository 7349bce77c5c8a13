"""The audit of what a command did by itself, with no bot to do it."""

import logging
from pathlib import Path

from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import StoreFailed
from danzar.live.control import WHO
from danzar.store import STORE_FILE, Store

log = logging.getLogger(__name__)


async def note(config: Config, action: str, detail: str) -> None:
    """Write a line into the audit; losing it does not undo what was done."""
    await note_in(data_folder(config), action, detail)


async def note_in(data: Path, action: str, detail: str) -> None:
    """The same in this data folder."""
    try:
        # No message is kept here, so none goes.
        async with Store.open(data / STORE_FILE, keep_messages=1) as store:
            await store.audit(WHO, action, detail)
    except StoreFailed as exc:
        log.warning("%s is not in the audit: %s", action, exc)
