"""Imported settings written into copies of the four files; comments and layout stay."""

from collections.abc import Mapping
from pathlib import Path

from danzar.config.edit import CannotEdit, set_value
from danzar.config.files import replace_file
from danzar.config.load import FILES, load_config
from danzar.config.migrate import Imported, Setting
from danzar.config.settings import Config
from danzar.errors import ConfigError

Contents = Mapping[str, bytes]


def draft(imported: Imported, base: Contents) -> dict[str, bytes]:
    """The four files with the imported settings in them.

    Args:
        imported: What is taken over.
        base: The files to begin with, by their names in ``FILES``; an empty one is missing.

    Raises:
        ConfigError: A value can't be put in its place.
    """
    contents = dict(base)
    for setting in imported.settings:
        contents[setting.file] = _with(contents[setting.file], setting)
    return contents


def check(contents: Contents, folder: Path) -> Config:
    """The configuration that the files make, whatever the environment says.

    Args:
        contents: The files, by their names in ``FILES``.
        folder: Any folder that exists; nothing is read from it.

    Raises:
        danzar.config.problems.InvalidConfig: They make none.
    """
    return load_config(folder, {}, contents)


def write(contents: Contents, folder: Path) -> tuple[Path, ...]:
    """Write the files; the folder is made where it is missing.

    Raises:
        ConfigError: One of them is there already, or can't be written.
    """
    files = {folder / FILES[name][0]: content for name, content in contents.items() if content}
    there = [file.name for file in files if file.exists()]
    if there:
        raise ConfigError(
            f"{folder} has {', '.join(there)} already, and nothing was written; name a new folder "
            "with --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigError(f"{folder} can't be made: {exc.strerror}") from exc
    for file, content in files.items():
        replace_file(file, b"", content)
    return tuple(files)


def _with(raw: bytes, setting: Setting) -> bytes:
    try:
        return set_value(raw, setting.path, setting.value)
    except CannotEdit as exc:
        raise ConfigError(f"{setting} {exc}") from exc
