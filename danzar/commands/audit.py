"""``danzar audit``: who did what, read from the database beside a bot that may be running."""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.commands.terminal import table
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import StoreFailed
from danzar.live.control import find_bots
from danzar.store import STORE_FILE

Json = dict[str, Any]
_BUSY_TIMEOUT_S = 5.0


def read_audit(config: Config, last: int) -> Json:
    """The newest lines, oldest first; none where no bot ever ran with these settings. Blocks.

    Raises:
        danzar.errors.StoreFailed: The database is there and can't be read.
    """
    bots = find_bots(data_folder(config), config.folder)
    folders = [*(Path(bot.data) for bot in bots), data_folder(config)]
    file = next((f for folder in folders if (f := folder / STORE_FILE).is_file()), None)
    rows = [] if file is None else _rows(file, last)
    return {
        "lines": [
            {
                "at": datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds"),
                "who": actor,
                "action": action,
                "detail": detail,
            }
            for actor, action, detail, at_s in reversed(rows)
        ]
    }


def print_audit(answer: Json, console: Console) -> None:
    """One row for each line."""
    rows = table("when (UTC)", "who", "what", "details")
    for line in answer["lines"]:
        rows.add_row(line["at"][:19].replace("T", " "), line["who"], line["action"], line["detail"])
    console.print(rows if rows.row_count else "Nobody did anything yet.")


def _rows(file: Path, last: int) -> list[tuple[str, str, str, float]]:
    """Read only: what runs beside is not disturbed, and a damaged file stays where it is."""
    try:
        with closing(
            sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", timeout=_BUSY_TIMEOUT_S, uri=True)
        ) as connection:
            return connection.execute(
                "SELECT actor, action, detail, at_s FROM audit ORDER BY id DESC LIMIT ?", (last,)
            ).fetchall()
    except sqlite3.Error as exc:
        raise StoreFailed(f"{file} can't be read: {exc}") from exc
