"""Files that only their owner may read, never overwritten by accident. Blocks."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from danzar.keys.errors import KeyFileBad

_FOLDER_MODE: Final = 0o700
_FILE_MODE: Final = 0o600
_OTHERS: Final = 0o077


def make_folder(folder: Path) -> None:
    """Make it and those above it that are missing, for their owner alone; others stay as they are.

    On Windows the inherited rights hold instead.

    Raises:
        KeyFileBad: It can't be made.
    """
    try:
        for missing in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
            missing.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    except OSError as exc:
        raise KeyFileBad(f"{folder} can't be made: {exc.strerror}") from exc


def check_absent(files: list[Path]) -> None:
    """Nothing of ours stands there yet.

    Raises:
        KeyFileBad: Something does; the message says how to overwrite it.
    """
    there = [file for file in files if file.exists()]
    if there:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        raise KeyFileBad(
            f"{there[0]}{more} is there already; nothing was changed (--force makes new ones, "
            "and the old ones are no longer good)"
        )


def write_private(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write each at once, readable by the owner alone from its first byte on.

    Raises:
        KeyFileBad: One can't be written.
    """
    make_folder(folder)
    for name, content in files.items():
        _write(folder / name, content)


def read_private(file: Path) -> bytes:
    """What stands there.

    Raises:
        KeyFileBad: It is missing or can't be read.
    """
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise KeyFileBad(f"{file} is missing; copy the whole folder that was made for it") from None
    except OSError as exc:
        raise KeyFileBad(f"{file} can't be read: {exc.strerror}") from exc


def open_to_others(file: Path) -> bool:
    """Whether other people on this machine could read it. Unknown on Windows: ``False``."""
    return os.name != "nt" and bool(file.stat().st_mode & _OTHERS)


def _write(file: Path, content: bytes) -> None:
    draft = file.with_name(f".{file.name}.new")
    try:
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(file)
    except OSError as exc:
        draft.unlink(missing_ok=True)
        raise KeyFileBad(f"{file} can't be written: {exc.strerror}") from exc
