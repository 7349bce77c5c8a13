"""From what a person typed to a source that may be watched, or a refusal.

What the owner wrote under ``watch.sources`` is trusted. Anything else that a person types is not: a
file must lie in an allowed folder (links followed), and an address must name an allowed host
whose every address is public, unless the owner listed that very address (or ``localhost``).
"""

import asyncio
import re
from pathlib import Path
from typing import Literal

from danzar.config.bot import WatchSettings
from danzar.errors import BadInput, BadVideo
from danzar.vision.addresses import Lookup, check_url, look_up, without_credentials
from danzar.workers.contract import Capture

Kind = Literal["file", "folder", "stream", "screen", "camera"]

_URL = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]*://")
_NUMBERED = re.compile(r"^(screen|camera):(\d{1,3})$", re.ASCII)
_LONGEST = 2000


async def resolve_source(
    text: str,
    settings: WatchSettings,
    root: Path,
    *,
    processing_fps: float,
    lookup: Lookup = look_up,
) -> Capture:
    """The request that reads this source.

    Args:
        text: A name from the settings, a path, a URL, ``screen:N`` or ``camera:N``.
        settings: What the owner allows.
        root: Folder that relative paths start from.
        processing_fps: Frames per second to ask for.
        lookup: Finds the addresses of a host name.

    Raises:
        BadUrl: The address is malformed or not allowed.
        BadVideo: There is no such file, or it is in no allowed folder.
        BadInput: It is too long, or names a device wrongly.
    """
    named = settings.sources.get(text)
    target = (named if named is not None else text).strip()
    if not target or len(target) > _LONGEST:
        raise BadInput(f"a source has 1 to {_LONGEST} characters; {known_sources(settings)}")
    if match := _NUMBERED.match(target):
        return _capture("screen" if match[1] == "screen" else "camera", match[2], processing_fps)
    if _URL.match(target):
        url = target if named is not None else await check_url(target, settings.allow_hosts, lookup)
        return _capture("stream", url, processing_fps)
    # A folder may be on another machine: looking at it must not hold up the event loop.
    trusted = named is not None
    return await asyncio.to_thread(_local, target, settings, root, processing_fps, trusted=trusted)


def source_label(text: str, settings: WatchSettings) -> str:
    """What the source is called in messages: its name, or the text without credentials."""
    return text if text in settings.sources else without_credentials(text)


def known_sources(settings: WatchSettings) -> str:
    """What may be named, as a hint in messages."""
    names = ", ".join(sorted(settings.sources)) or "none"
    return f"named sources: {names}; or screen:N, camera:N, a file or a URL that the owner allows"


def _local(
    target: str, settings: WatchSettings, root: Path, processing_fps: float, *, trusted: bool
) -> Capture:
    path = _owned_path(target, root) if trusted else _allowed_path(target, settings, root)
    return _capture("folder" if path.is_dir() else "file", str(path), processing_fps)


def _owned_path(target: str, root: Path) -> Path:
    path = (root / target).resolve()
    if not path.exists():
        raise BadVideo(f"the source's file {target!r} is not there; check watch.sources")
    return path


def _allowed_path(target: str, settings: WatchSettings, root: Path) -> Path:
    """The file behind every link, if it lies in an allowed folder.

    The same words are used for a file that is absent and one that is not allowed, so that no one
    can find out what is on the machine.
    """
    refusal = BadVideo(
        f"{target!r} is not a file in a folder that may be watched "
        f"(watch.allow_folders); {known_sources(settings)}"
    )
    folders = [(root / folder).resolve() for folder in settings.allow_folders]
    try:
        candidates = [(folder / target).resolve() for folder in folders]
    except (OSError, ValueError, RuntimeError):
        raise refusal from None
    for folder, path in zip(folders, candidates, strict=True):
        if path.is_relative_to(folder) and path.exists():
            return path
    raise refusal


def _capture(kind: Kind, target: str, processing_fps: float) -> Capture:
    return Capture(kind=kind, target=target, processing_fps=processing_fps)
