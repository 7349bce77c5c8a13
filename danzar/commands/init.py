"""``danzar init``: a place of Danzar's own, with the settings and weights that ship with it."""

import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from danzar.config.load import (
    CONFIG_FILES,
    FOLDER_VARIABLE,
    ROOT_VARIABLE,
    load_config,
    project_folder,
)
from danzar.config.places import data_folder, platform_config_folder, platform_data_folder
from danzar.errors import DanzarError
from danzar.http.api_keys import FILE, ApiKeys

SAMPLES = Path("assets")


class CannotLayDown(DanzarError):
    """A file could not be put where it belongs."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things go.

    Attributes:
        config: The settings' folder.
        root: What relative paths in the settings start from: ``models`` and ``assets`` are there.
    """

    config: Path
    root: Path


def places_for(folder: Path | None, environ: Mapping[str, str] = os.environ) -> Places:
    """``FOLDER/config`` and ``FOLDER``, else what the environment says, else the platform's."""
    if folder is not None:
        return Places(folder / "config", folder)
    config, root = environ.get(FOLDER_VARIABLE), environ.get(ROOT_VARIABLE)
    if config:
        return Places(Path(config), Path(root) if root else Path(config).resolve().parent)
    return Places(platform_config_folder(), Path(root) if root else platform_data_folder())


def lay_down(places: Places, origin: Path | None = None) -> list[Path]:
    """Copy what ships and is missing there; returns the files that were copied. Blocks.

    Settings are laid down only where there are none yet: a file that its owner deleted means its
    defaults, and stays away.

    Raises:
        CannotLayDown: Nothing ships beside this installation, or a file can't be written.
    """
    origin = project_folder() if origin is None else origin
    if origin is None:
        raise CannotLayDown("this installation came without settings and weights; use a checkout")
    try:
        return [target for source, target in _wanted(origin, places) if _copy(source, target)]
    except OSError as exc:
        place = exc.filename or places.root
        raise CannotLayDown(
            f"{place} can't be written ({exc.strerror}); let the user with the number "
            f"{_user_id()} write there"
        ) from exc


async def take_key(places: Places, environ: Mapping[str, str] = os.environ) -> None:
    """Let the key in ``DANZAR_API_KEY`` open the page and the API; one that it replaces ends.

    Raises:
        danzar.errors.DanzarError: It has no key's form, or the keys can't be written.
    """
    text = environ.get("DANZAR_API_KEY", "").strip()
    if not text:
        return
    folder = data_folder(load_config(places.config, environ))
    folder.mkdir(parents=True, exist_ok=True)
    async with ApiKeys.open(folder / FILE) as keys:
        await keys.take(text)


def print_laid_down(files: list[Path], places: Places, screen: Console) -> None:
    """What was done, in a line."""
    if files:
        where = f"settings in {places.config}, the rest in {places.root}"
        screen.print(f"Laid down {len(files)} files: {where}", soft_wrap=True)


def _wanted(origin: Path, places: Places) -> Iterator[tuple[Path, Path]]:
    if not any((places.config / name).exists() for name in CONFIG_FILES):
        for source in sorted((origin / "config").glob("*.yaml")):
            yield source, places.config / source.name
    for shipped in (*_weights(origin), SAMPLES):
        for source in _files(origin / shipped):
            yield source, places.root / source.relative_to(origin)


def _weights(origin: Path) -> Iterator[Path]:
    """Files and folders of weights that ship: those of which no address is known."""
    for entry in load_config(origin / "config", environ={}).models.models.values():
        if entry.path is not None and entry.url is None:
            yield Path(entry.path)


def _files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(f for f in place.rglob("*") if f.is_file())


def _copy(source: Path, target: Path) -> bool:
    """Copy the file whole or not at all; False where there is one."""
    if target.exists():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part-{secrets.token_hex(4)}")
    try:
        shutil.copyfile(source, part)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    return True


def _user_id() -> str:
    return str(os.getuid()) if hasattr(os, "getuid") else "that runs Danzar"
