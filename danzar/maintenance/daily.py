"""A backup every day at the same time, and not more of them than wanted."""

import asyncio
import logging
from datetime import datetime, time
from pathlib import Path

from danzar.config.logs import MaintenanceSettings
from danzar.local_days import local_in, next_due
from danzar.maintenance.backup import Source, make_backup
from danzar.maintenance.databases import drop_oldest
from danzar.maintenance.errors import BackupFailed
from danzar.units import format_size

log = logging.getLogger(__name__)

FOLDER = "backups"  # in the data folder
_NAMES = "danzar-*.zip"
_LONGEST_SLEEP_S = 60.0  # so that a clock that is set is noticed


async def back_up_daily(source: Source, settings: MaintenanceSettings) -> None:
    """Until cancelled; over at once where no time is set. One that fails is told in the log."""
    if settings.backup_at is None:
        return
    at, local = time.fromisoformat(settings.backup_at), local_in(None)
    while True:
        await _sleep_until(next_due(datetime.now().astimezone(), at, local))
        await asyncio.to_thread(back_up_once, source, settings.keep_backups)


def back_up_once(source: Source, keep: int) -> Path | None:
    """Make one, and delete the oldest; ``None`` where it failed, as the log says. Blocks."""
    folder = source.data / FOLDER
    file = folder / f"danzar-{datetime.now().astimezone():%Y%m%d-%H%M%S}.zip"
    try:
        manifest = make_backup(source, file)
        drop_oldest(folder, _NAMES, keep)
    except (BackupFailed, OSError):
        log.exception("the daily backup failed; the ones before it are in %s", folder)
        return None
    size = format_size(file.stat().st_size)
    log.info("daily backup of %d files, %s: %s", len(manifest.files), size, file)
    return file


async def _sleep_until(moment: datetime) -> None:
    # A clock has no event; what it shows may be changed at any time.
    while (left_s := (moment - datetime.now().astimezone()).total_seconds()) > 0:  # noqa: ASYNC110
        await asyncio.sleep(min(left_s, _LONGEST_SLEEP_S))
