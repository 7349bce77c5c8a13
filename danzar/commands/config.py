"""``danzar config check``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.config.load import config_folder, load_config
from danzar.config.problems import InvalidConfig, Problem


@dataclass(frozen=True, slots=True)
class Result:
    """What was read, and every mistake in it. ``folder`` is ``None`` where only defaults are."""

    folder: Path | None
    problems: tuple[Problem, ...]


def check(path: Path | None) -> Result:
    """Read the settings of a folder, or of the folder that a file is in.

    Raises:
        danzar.errors.ConfigError: There is no such folder.
    """
    named = path.parent if path is not None and path.is_file() else path
    folder = named if named is not None else config_folder()
    try:
        load_config(named)
    except InvalidConfig as exc:
        return Result(folder, exc.problems)
    return Result(folder, ())


def result_json(result: Result) -> dict[str, Any]:
    """The contract of ``danzar config check --json``; see docs/json.md."""
    return {
        "folder": None if result.folder is None else str(result.folder),
        "ok": not result.problems,
        "problems": [
            {"where": p.where, "key": p.key or None, "message": p.message} for p in result.problems
        ],
    }


def print_result(result: Result, console: Console) -> None:
    """One line per mistake."""
    for problem in result.problems:
        console.print(str(problem), soft_wrap=True)
    if not result.problems:
        console.print(f"{result.folder or 'the defaults'}: all settings are in order")
