"""``danzar config import``: another program's settings as Danzar's."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.config.files import read_contents
from danzar.config.load import config_folder
from danzar.config.migrate import Imported, Row, read_foreign
from danzar.config.migrate_write import check, draft, write
from danzar.config.problems import InvalidConfig, Problem
from danzar.config.yaml_lines import MAX_BYTES
from danzar.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Converted:
    """What was read, and what came of it.

    Attributes:
        imported: ``None`` where the file has mistakes, or what comes of it would have.
        written: The files that were written; none without ``--out``.
    """

    file: Path
    imported: Imported | None
    written: tuple[Path, ...] = ()
    problems: tuple[Problem, ...] = ()


def convert(file: Path, out: Path | None, folder: Path | None) -> Converted:
    """Read a file of another program, and write Danzar's from it.

    Args:
        file: The other program's.
        out: Folder to write to; ``None`` writes nothing.
        folder: Of the settings to begin with; ``None`` looks in the usual places.

    Raises:
        danzar.errors.ConfigError: A file can't be read, or files are in the way; nothing was
            written.
    """
    base = folder if folder is not None else config_folder()
    if base is None:
        raise ConfigError("there are no settings to begin with; name a folder with --config DIR")
    root = (out or base).absolute().parent
    try:
        imported = read_foreign(_read(file), file, root)
    except InvalidConfig as exc:
        return Converted(file, None, problems=exc.problems)
    contents = draft(imported, read_contents(base))
    try:
        check(contents, base)
    except InvalidConfig as exc:
        wrong = tuple(_after_import(file, imported, p) for p in exc.problems)
        return Converted(file, None, problems=wrong)
    return Converted(file, imported, () if out is None else write(contents, out))


def import_json(result: Converted) -> dict[str, Any]:
    """The contract of ``danzar config import --json``; see docs/json.md."""
    imported = result.imported
    return {
        "ok": imported is not None,
        "program": None if imported is None else imported.program,
        "file": str(result.file),
        "written": [str(file) for file in result.written],
        "keys": [] if imported is None else [_row_json(row) for row in imported.rows],
        "problems": [
            {"where": p.where, "key": p.key or None, "message": p.message} for p in result.problems
        ],
    }


def print_import(result: Converted, console: Console) -> None:
    """What becomes of each key, and what to do next; or every mistake."""
    for problem in result.problems:
        console.print(str(problem), soft_wrap=True)
    if result.imported is None:
        return
    rows = result.imported.rows
    console.print(f"{result.file}: settings of {result.imported.program}", style="bold")
    for row in rows:
        _print_row(row, console)
    taken = sum(bool(row.settings) for row in rows)
    console.print(f"{taken} of {len(rows)} keys are settings here.")
    if not result.written:
        console.print("Nothing was written; --out FOLDER writes the files.", style="dim")
        return
    folder = result.written[0].parent
    console.print(f"Written to {folder}; its paths begin in {folder.absolute().parent}.")
    console.print(f"Next: danzar doctor --config {folder}", soft_wrap=True)


def _print_row(row: Row, console: Console) -> None:
    value = "(not shown)" if row.is_secret else _text(row.value)
    console.print(f"{row.key}: {value}", soft_wrap=True)
    for setting in row.settings:
        console.print(f"    is {setting}: {_text(setting.value)}", soft_wrap=True)
    if row.note:
        why = "" if row.settings else "nothing here: "
        console.print(f"    {why}{row.note}", style="dim", soft_wrap=True)


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except OSError as exc:
        raise ConfigError(f"{file} can't be read: {exc.strerror}") from exc


def _after_import(file: Path, imported: Imported, problem: Problem) -> Problem:
    """Which key of the other program a mistake comes from."""
    for row in imported.rows:
        if any(str(s).partition(".")[2] == problem.key for s in row.settings):
            key = f"{row.key} becomes {problem.key}"
            return Problem(f"{file.name}:{row.line}", key, problem.message)
    return problem


def _row_json(row: Row) -> dict[str, Any]:
    settings = [
        {"file": s.file, "key": str(s).partition(".")[2], "value": s.value} for s in row.settings
    ]
    return {"key": row.key, "value": row.value, "settings": settings, "note": row.note or None}


def _text(value: object) -> str:
    """As it would stand in the file."""
    return value if isinstance(value, str) else json.dumps(value)
