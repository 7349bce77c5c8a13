"""Small JSON files of ours: read with patience, and written so that a crash leaves one of both."""

import logging
from pathlib import Path
from typing import TypeVar

import msgspec

log = logging.getLogger(__name__)

T = TypeVar("T")


def read_json(path: Path, kind: type[T], name: str) -> T | None:
    """What the file holds; ``None`` where there is none, or none that can be read. Blocks.

    A file that can't be read is told in the log as ``name``, for example ``usual speeds``.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as exc:
        log.warning("%s can't be read from %s: %s", name, path, exc)
        return None


def write_json(path: Path, value: object) -> None:
    """Replace the file in one step, so that a crash leaves the old one or the new one. Blocks.

    Raises:
        OSError: It can't be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.write_bytes(msgspec.json.encode(value))
    draft.replace(path)
