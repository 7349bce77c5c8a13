"""The four files as bytes: read together, and one of them replaced whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

from danzar.config.load import FILES
from danzar.config.yaml_lines import MAX_BYTES
from danzar.errors import ConfigError


def read_contents(folder: Path) -> dict[str, bytes]:
    """Every file by its name in ``FILES``; one that is missing is empty. Blocks.

    Raises:
        ConfigError: A file is there and can't be read.
    """
    return {name: _read(folder / file_name) for name, (file_name, _) in FILES.items()}


def replace_file(file: Path, before: bytes, content: bytes) -> None:
    """Write the file at once: whoever reads it sees the old one or the new one. Blocks.

    Args:
        file: Made where it is missing; a link stays one.
        before: What was read; if something else stands there now, nothing is written.
        content: The whole new file.

    Raises:
        ConfigError: It was changed meanwhile, or can't be written; it is as it was.
    """
    target = file.resolve()
    try:
        draft = _draft(target, content)
    except OSError as exc:
        raise ConfigError(f"{file} can't be written: {exc.strerror}; nothing was changed") from exc
    try:
        if _read(target) != before:
            raise ConfigError(f"{file} was changed by someone else just now; try again")
        draft.replace(target)
    except OSError as exc:
        raise ConfigError(f"{file} can't be written: {exc.strerror}; nothing was changed") from exc
    finally:
        with contextlib.suppress(FileNotFoundError):
            draft.unlink()


def _draft(target: Path, content: bytes) -> Path:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    draft = Path(name)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        with contextlib.suppress(FileNotFoundError):
            shutil.copymode(target, draft)
    except OSError:
        draft.unlink()
        raise
    return draft


def _read(file: Path) -> bytes:
    try:
        with file.open("rb") as stream:
            return stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return b""
    except OSError as exc:
        raise ConfigError(f"{file} can't be read: {exc.strerror}") from exc
