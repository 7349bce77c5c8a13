"""The four files and the environment as one ``Config``, or every mistake in them at once."""

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import danzar
from danzar.config.base import Settings
from danzar.config.bot import BotConfig
from danzar.config.environment import Override, apply, read_overrides, stray_variables
from danzar.config.models import ModelsConfig
from danzar.config.places import platform_config_folder, platform_data_folder
from danzar.config.problems import InvalidConfig, Problem, key_text, model_problems
from danzar.config.relations import cross_problems, resolve_roles
from danzar.config.secrets import SECRET_ADVICE, find_secrets, redact
from danzar.config.settings import Config
from danzar.config.vision import VisionConfig
from danzar.config.vram import VramConfig
from danzar.config.yaml_lines import MAX_BYTES, Document, KeyPath, YamlProblem, read_yaml
from danzar.errors import ConfigError

FILES: dict[str, tuple[str, type[Settings]]] = {
    "bot": ("bot_config.yaml", BotConfig),
    "vision": ("vision_config.yaml", VisionConfig),
    "vram": ("vram_config.yaml", VramConfig),
    "models": ("models.yaml", ModelsConfig),
}
CONFIG_FILES = tuple(name for name, _ in FILES.values())
FOLDER_VARIABLE = "DANZAR_CONFIG"
ROOT_VARIABLE = "DANZAR_ROOT"


@dataclass(slots=True)
class _Source:
    """One file with what the environment changes in it."""

    file: Path
    document: Document
    overrides: list[Override] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)

    def sorted_problems(self) -> list[Problem]:
        """In the order of the file's lines; those of variables last."""

        def line(problem: Problem) -> float:
            number = problem.where.rpartition(":")[2]
            return int(number) if number.isdigit() else math.inf

        return sorted(self.problems, key=line)

    def where(self, path: KeyPath) -> str:
        """``FILE:LINE`` of the key or of the section around it, or the variable that set it."""
        for override in self.overrides:
            if path[: len(override.path)] == override.path:
                return f"environment variable {override.variable}"
        whole_file = not path
        while path and path not in self.document.lines:
            path = path[:-1]
        line = self.document.lines.get(path) if path or whole_file else None
        return f"{_shown(self.file)}:{line}" if line else _shown(self.file)


def config_folder(environ: Mapping[str, str] = os.environ) -> Path | None:
    """``$DANZAR_CONFIG``, else ``./config``, the platform's, or the package's; ``None``: no folder.

    Raises:
        ConfigError: ``$DANZAR_CONFIG`` names no folder.
    """
    named = environ.get(FOLDER_VARIABLE)
    if named:
        return _existing(Path(named), FOLDER_VARIABLE)
    if Path("config").is_dir():
        return Path("config")
    of_platform, project = platform_config_folder(), project_folder()
    # Where a platform has one folder for settings and data, it may be there without settings.
    if any((of_platform / name).is_file() for name in CONFIG_FILES):
        return of_platform
    return None if project is None else project / "config"


def project_folder() -> Path | None:
    """The checkout that this package is part of, with the settings and weights that ship."""
    folder = Path(danzar.__file__).resolve().parent.parent
    return folder if (folder / "config").is_dir() else None


def root_folder(folder: Path | None, environ: Mapping[str, str]) -> Path:
    """What relative paths start from: ``$DANZAR_ROOT``, else the folder around the settings.

    Settings that are where the platform wants them are apart from data: there it is the data's.
    """
    named = environ.get(ROOT_VARIABLE)
    if named:
        return Path(named).resolve()
    if folder is None:
        return Path.cwd()
    if folder.resolve() == platform_config_folder().resolve():
        return platform_data_folder()
    return folder.resolve().parent


def load_config(
    folder: Path | None = None,
    environ: Mapping[str, str] | None = None,
    contents: Mapping[str, bytes] | None = None,
) -> Config:
    """All settings; a missing file means its defaults.

    Args:
        folder: Where the four files are; ``None`` looks in the usual places.
        environ: Variables that override them; ``None`` is the process's own.
        contents: What to read instead of a file, by its name in ``FILES``.

    Raises:
        InvalidConfig: One line per mistake, each with file, line and key.
        ConfigError: The folder does not exist.
    """
    environ = os.environ if environ is None else environ
    found = _existing(folder, "--config") if folder is not None else config_folder(environ)
    root = root_folder(found, environ)
    given = contents or {}
    sources = {name: _read(name, found, environ, given.get(name)) for name in FILES}
    parsed = {name: _validate(name, source) for name, source in sources.items()}
    stray = stray_variables([name.upper() for name in FILES], environ)
    _raise_if_any([p for source in sources.values() for p in source.sorted_problems()] + stray)
    config = Config.model_validate({"root": root, "folder": found, **parsed})
    wrong = cross_problems(config)
    _raise_if_any(
        [Problem(sources[name].where(path), key_text(path), text) for name, path, text in wrong]
    )
    return resolve_roles(config)


def _existing(folder: Path, named_by: str) -> Path:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: no such folder (named by {named_by})")
    return folder


def _read(
    name: str, folder: Path | None, environ: Mapping[str, str], content: bytes | None
) -> _Source:
    file_name, model = FILES[name]
    source = _Source((folder or Path("config")) / file_name, Document({}))
    if content is not None:
        _read_content(source, content)
    elif folder is not None:
        _read_file(source)
    if not isinstance(source.document.data, dict):
        message = "must be keys with values"
        source.problems.append(Problem(source.where(()), "", message))
        source.document.data = {}
    overrides, problems = read_overrides(name.upper(), model, source.document.data, environ)
    apply(overrides, source.document.data)
    source.overrides = overrides
    source.problems.extend(problems)
    return source


def _read_file(source: _Source) -> None:
    try:
        with source.file.open("rb") as stream:
            content = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return
    except OSError as exc:
        source.problems.append(Problem(_shown(source.file), "", f"can't be read: {exc.strerror}"))
    else:
        _read_content(source, content)


def _read_content(source: _Source, content: bytes) -> None:
    try:
        source.document = read_yaml(content)
    except YamlProblem as exc:
        source.problems.append(_yaml_problem(source, exc))
    source.problems.extend(_yaml_problem(source, exc) for exc in source.document.problems)


def _yaml_problem(source: _Source, exc: YamlProblem) -> Problem:
    return Problem(f"{_shown(source.file)}:{exc.line}", key_text(exc.path), str(exc))


def _validate(name: str, source: _Source) -> Settings | None:
    """The file's settings, or ``None`` with the mistakes added to ``source.problems``."""
    model, data = FILES[name][1], source.document.data
    secrets = list(find_secrets(data))
    for path in secrets:
        source.problems.append(Problem(source.where(path), key_text(path), SECRET_ADVICE))
    if source.problems:
        _also_check(model, source, data, skip=secrets)
        return None
    try:
        return _parse(model, data)
    except ValidationError as error:
        source.problems.extend(model_problems(model, data, error, source.where))
        return None


def _also_check(
    model: type[Settings], source: _Source, data: dict[str, Any], skip: list[KeyPath]
) -> None:
    """Add the model's mistakes to others that were found, except where one is told already."""
    told = {problem.key for problem in source.problems} | {key_text(path) for path in skip}
    try:
        _parse(model, data)
    except ValidationError as error:
        found = model_problems(model, data, error, source.where)
        source.problems.extend(problem for problem in found if problem.key not in told)


def _parse(model: type[Settings], data: dict[str, Any]) -> Settings:
    """Strictly, as JSON: there a list may be a tuple, but no text is a number and no 1 is true."""
    return model.model_validate_json(json.dumps(data), strict=True)


def _raise_if_any(problems: list[Problem]) -> None:
    if problems:
        # Whatever was quoted on the way here: no token leaves.
        shown = (replace(p, key=redact(p.key), message=redact(p.message)) for p in problems)
        raise InvalidConfig(tuple(shown))


def _shown(file: Path) -> str:
    """The path from the current folder where it is inside it."""
    try:
        return file.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return str(file)
