"""Writes a support bundle: a ZIP of texts, each scrubbed, bounded and listed. Blocks."""

import os
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from danzar.logs.line import shorten
from danzar.maintenance.errors import BackupFailed
from danzar.maintenance.scrub import Private, scrub

MAX_PART_CHARS = 2_000_000
CONTENTS = "CONTENTS.txt"
_PRIVATE = 0o600

Part = tuple[str, Callable[[], str]]
"""What it holds, in words, and how its text is got."""
Parts = Mapping[str, Part]
"""By file name."""


@dataclass(frozen=True, slots=True)
class Bundled:
    """One file of the bundle.

    Attributes:
        error: Why it has no content; ``None`` where it has.
    """

    name: str
    holds: str
    size_bytes: int
    error: str | None = None


def write_bundle(target: Path, parts: Parts, private: Private) -> tuple[Bundled, ...]:
    """Write it; a part that can't be got says so, and stops none of the others.

    Raises:
        BackupFailed: The file is there already, or can't be written.
    """
    try:
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, _PRIVATE)
    except OSError as exc:
        raise BackupFailed(f"{target} can't be written: {exc.strerror}") from exc
    try:
        with (
            os.fdopen(handle, "w+b") as stream,
            zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive,
        ):
            made = tuple(_put(archive, name, *parts[name], private) for name in parts)
            archive.writestr(CONTENTS, contents_text(made))
    except BaseException as exc:
        with suppress(OSError):
            target.unlink()
        if isinstance(exc, OSError):
            raise BackupFailed(f"{target} can't be written: {exc.strerror}") from exc
        raise
    return made


def contents_text(made: tuple[Bundled, ...]) -> str:
    """What is in the bundle, for whoever is about to send it."""
    lines = [f"{part.name:<24} {part.error or part.holds}" for part in made]
    return "\n".join(
        [
            "What is in this bundle. It was made by `danzar support-bundle` and sent nowhere.",
            "",
            *lines,
            "",
            "Taken out: tokens, keys, passwords, webhooks, the home folder (~), the names of the",
            "user and the machine, people's names and numbers. Conversations, prompts, pictures,",
            "job results and the audit are not in it.",
            "Names of programs that took memory of a card may be in incidents.json and log.jsonl.",
            "",
        ]
    )


def _put(
    archive: zipfile.ZipFile, name: str, holds: str, get: Callable[[], str], private: Private
) -> Bundled:
    error = None
    try:
        text = get()
    except Exception as exc:  # noqa: BLE001 - a broken part is what the bundle is made for
        text = error = scrub(f"not there: {type(exc).__name__}: {exc}", private)
    # Cut after it was scrubbed, so that no half of a secret is left; and roughly before, so that
    # the work is bounded. What the first cut leaves of a secret, the second one takes away.
    clean = scrub(shorten(text, 4 * MAX_PART_CHARS), private)
    data = shorten(clean, MAX_PART_CHARS).encode()
    archive.writestr(name, data)
    return Bundled(name, holds, len(data), error)
