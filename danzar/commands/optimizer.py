"""``danzar optimizer``: asks the bot that runs here, or changes the settings it will start with."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from danzar.commands.noted import note
from danzar.config.changes import changes_between
from danzar.config.draft import Draft
from danzar.config.files import read_contents, replace_file
from danzar.config.keys import find_key
from danzar.config.optimizer import MemoryConfig
from danzar.config.places import data_folder
from danzar.config.problems import InvalidConfig
from danzar.config.settings import Config
from danzar.errors import BadInput, ConfigError
from danzar.live.asking import NoBot
from danzar.live.control import find_bots
from danzar.optimizer.ask import OnProgress, ask_optimizer
from danzar.optimizer.config_file import from_json, settings_of, to_json
from danzar.optimizer.wishes import AnyWish, Configure, Status

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Changed:
    """What changed, as lines, and whether a running bot goes by it already."""

    changes: tuple[str, ...]
    applied: bool

    def to_json(self) -> Json:
        """The contract of ``configure``, ``enable``, ``disable`` and ``import-config``."""
        return {"changes": list(self.changes), "applied": self.applied}


async def ask(config: Config, wish: AnyWish, on_progress: OnProgress = lambda _: None) -> Json:
    """What the running bot answers.

    Raises:
        NoBot: None runs with these settings.
        danzar.errors.BadInput: It refused; the message is its own.
        danzar.live.asking.BotSilent: It is there and does not answer.
    """
    answer = await _ask_any(config, wish, on_progress)
    if answer is None:
        raise NoBot(
            f"no bot is running with the settings in {config.folder}; start one with "
            "`danzar run` or `danzar demo`"
        )
    return answer


async def change(config: Config, wish: Configure) -> Changed:
    """Change settings by field, in the running bot and the file, or in the file alone.

    Raises:
        danzar.errors.ConfigError: Refused, with the reason; nothing was changed.
        danzar.errors.BadInput: The running bot refused, likewise.
        danzar.live.asking.BotSilent: It is there and does not answer.
    """
    answer = await _ask_any(config, wish)
    if answer is not None:
        return Changed(tuple(answer["changes"]), applied=True)
    try:
        lines = _write(config, settings_of(wish.values))
    except InvalidConfig as exc:
        raise _refused(exc) from exc
    await note(config, f"optimizer.{wish.action}", "; ".join(lines) or "nothing changed")
    return Changed(lines, applied=False)


async def export_config(config: Config) -> str:
    """The settings as JSON: the running bot's, or what the files say."""
    answer = await _ask_any(config, Status())
    if answer is None:
        return to_json(config.vram.optimizer)
    return to_json(MemoryConfig.model_validate(answer["config"], strict=False))


def read_config(file: Path) -> MemoryConfig:
    """The settings in a file that was exported.

    Raises:
        danzar.errors.BadInput: It can't be read, or holds no settings; every mistake is named.
    """
    try:
        raw = file.read_bytes()
    except OSError as exc:
        raise BadInput(f"{file}: can't be read: {exc.strerror}") from exc
    try:
        return from_json(raw, str(file))
    except InvalidConfig as exc:
        raise _refused(exc) from exc


def write_file(file: Path, text: str) -> None:
    """Keep a result.

    Raises:
        danzar.errors.BadInput: The file can't be written.
    """
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as exc:
        raise BadInput(f"{file}: can't be written: {exc.strerror}") from exc


async def _ask_any(
    config: Config, wish: AnyWish, on_progress: OnProgress = lambda _: None
) -> Json | None:
    for address in find_bots(data_folder(config), config.folder):
        answer = await ask_optimizer(address, wish, on_progress)
        if answer is not None:
            return answer
    return None


def _write(config: Config, settings: Mapping[str, str]) -> tuple[str, ...]:
    if config.folder is None:
        raise ConfigError("there is no folder of settings to change; name one with --config DIR")
    before = after = Draft(config.folder, os.environ, read_contents(config.folder))
    found = {find_key(key, config): value for key, value in settings.items()}
    for key, value in found.items():
        after = after.with_setting(key, value)
    changes = changes_between(config, after.config())
    for name, file_name in {key.file: key.file_name for key in found}.items():
        old, new = before.contents[name], after.contents[name]
        if changes and old != new:
            replace_file(config.folder / file_name, old, new)
    return tuple(map(str, changes))


def _refused(error: InvalidConfig) -> BadInput:
    """All mistakes in one sentence: they are in no file that ``danzar config check`` reads."""
    return BadInput("; ".join(map(str, error.problems)) + "; nothing was changed")
