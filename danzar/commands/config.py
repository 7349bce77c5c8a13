"""``danzar config``: check the settings, and change them."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.commands.noted import note
from danzar.config.changes import changes_between
from danzar.config.draft import Draft
from danzar.config.files import read_contents, replace_file
from danzar.config.keys import find_key
from danzar.config.load import config_folder, load_config
from danzar.config.places import data_folder
from danzar.config.problems import InvalidConfig, Problem
from danzar.config.settings import Config
from danzar.errors import ConfigError
from danzar.live.control import Answer, Wish, ask_bot, find_bots
from danzar.logs.keep import log_folder

NO_BOT = "no bot is running with these settings; it will start with them"


@dataclass(frozen=True, slots=True)
class Result:
    """What was read, and every mistake in it. ``folder`` is ``None`` where only defaults are."""

    folder: Path | None
    problems: tuple[Problem, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed, as lines, and whether a running bot goes by it already."""

    changes: tuple[str, ...]
    applied: bool


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


def places(config: Config) -> dict[str, str | None]:
    """By what is there: the settings' folder, the project's, the data's and the log's."""
    return {
        "config": None if config.folder is None else str(config.folder.resolve()),
        "root": str(config.root),
        "data": str(data_folder(config).absolute()),
        "logs": str(log_folder(config).absolute()),
    }


async def change(folder: Path | None, key: str, value: str, *, later: bool) -> Changed:
    """Change one setting in its file, and in the bot that runs with it.

    Args:
        folder: Of the four files; ``None`` looks in the usual places.
        key: As ``find_key`` reads it.
        value: As it would stand in the file.
        later: Leave a running bot as it is, until it is started again.

    Raises:
        danzar.errors.ConfigError: Refused, with the reason; nothing was changed.
        danzar.live.control.BotSilent: A bot runs, but does not answer.
    """
    config = load_config(folder)
    answer = None if later else await _ask(config, Wish(key, value))
    if answer is None:
        changes = _write(config, key, value)
        for text in changes:
            await note(config, "config.set", text)
        return Changed(changes, applied=False)
    return _granted(answer)


async def reload(folder: Path | None) -> Changed:
    """Have the running bot apply what the files say now.

    Raises:
        danzar.errors.ConfigError: No bot runs with these settings, or it refuses, with the reason.
        danzar.live.control.BotSilent: It does not answer.
    """
    config = load_config(folder)
    answer = await _ask(config, Wish())
    if answer is None:
        raise ConfigError(NO_BOT)
    return _granted(answer)


def result_json(result: Result) -> dict[str, Any]:
    """The contract of ``danzar config check --json``; see docs/json.md."""
    return {
        "folder": None if result.folder is None else str(result.folder),
        "ok": not result.problems,
        "problems": [
            {"where": p.where, "key": p.key or None, "message": p.message} for p in result.problems
        ],
    }


def changed_json(changed: Changed) -> dict[str, Any]:
    """The contract of ``danzar config set`` and ``reload`` with ``--json``; see docs/json.md."""
    return {"changes": list(changed.changes), "applied": changed.applied}


def print_result(result: Result, console: Console) -> None:
    """One line per mistake."""
    for problem in result.problems:
        console.print(str(problem), soft_wrap=True)
    if not result.problems:
        console.print(f"{result.folder or 'the defaults'}: all settings are in order")


def print_changed(changed: Changed, console: Console) -> None:
    """What changed, and where it is in force."""
    for line in changed.changes or ("nothing changed: it is so already",):
        console.print(line, soft_wrap=True)
    console.print("The running bot goes by it now." if changed.applied else NO_BOT, style="dim")


async def _ask(config: Config, wish: Wish) -> Answer | None:
    for bot in find_bots(data_folder(config), config.folder):
        answer = await ask_bot(bot, wish)
        if answer is not None:
            return answer
    return None


def _write(config: Config, key: str, value: str) -> tuple[str, ...]:
    if config.folder is None:
        raise ConfigError("there is no folder of settings to change; name one with --config DIR")
    found = find_key(key, config)
    before = Draft(config.folder, os.environ, read_contents(config.folder))
    after = before.with_setting(found, value)
    changes = changes_between(config, after.config())
    old, new = before.contents[found.file], after.contents[found.file]
    if old != new:
        replace_file(config.folder / found.file_name, old, new)
    return tuple(map(str, changes))


def _granted(answer: Answer) -> Changed:
    if answer.refused is not None:
        raise ConfigError(answer.refused)
    return Changed(tuple(answer.changes), applied=True)
