"""Gets a model that ``models.yaml`` has an address for."""

import asyncio
from pathlib import Path, PurePosixPath

from yarl import URL

from danzar.config.models import ModelEntry
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import BadUrl, ModelError, ModelMissing, ModelRefused
from danzar.models.checksums import Checksums, OnBytes
from danzar.models.download import Download, download
from danzar.models.files import PICKLE_SUFFIXES, entry_of, locate
from danzar.models.verify import Verified, verify


async def pull(
    name: str,
    config: Config,
    on_bytes: OnBytes | None = None,
    *,
    trust_unverified: bool = False,
) -> Verified:
    """The model, verified; downloaded first unless the right file is there.

    Args:
        name: The model's name in ``models.yaml``.
        config: All settings.
        on_bytes: Told how far the download is.
        trust_unverified: Take what the server sends where the manifest has no checksum, and hold
            every later file of this model to the checksum seen now.

    Raises:
        ModelMissing: It is not listed, or has no address.
        ModelRefused: It has no checksum and is not trusted, or the file is the wrong one.
        BadUrl: Its address may not be used.
        ModelError: The server or the disk would not.
    """
    entry = entry_of(config, name)
    if entry.url is None:
        return await asyncio.to_thread(verify, name, config)
    expected = entry.sha256 or Checksums(data_folder(config)).trusted(name)
    if expected is None and not trust_unverified:
        raise ModelRefused(
            f"{name}: models.yaml has no sha256 for it, so nothing tells a right file from a wrong "
            f"one; put one there, or run: danzar models pull --trust-unverified {name}"
        )
    plan = _plan(name, config, entry, expected)
    if await asyncio.to_thread(_is_right, name, config, plan.target):
        return await asyncio.to_thread(verify, name, config)
    sha256 = await download(plan, on_bytes)
    if expected is None:
        await asyncio.to_thread(_trust, name, config, plan.target, sha256)
    return await asyncio.to_thread(verify, name, config)


def _trust(name: str, config: Config, target: Path, sha256: str) -> None:
    """Remember what came as the right file, unless it can't be one.

    Raises:
        ModelRefused: Its structure is damaged; it was deleted.
    """
    try:
        verify(name, config)
    except ModelRefused:
        target.unlink()
        raise
    Checksums(data_folder(config)).trust(name, sha256)


def _plan(name: str, config: Config, entry: ModelEntry, expected: str | None) -> Download:
    path = locate(name, config)
    if path is None or entry.url is None or entry.package is not None:
        raise ModelMissing(f"{name}: models.yaml has no path to download it to")
    target = path if path.suffix else path / _file_name(name, entry.url)
    _refuse_pickle(name, config, entry, target)
    return Download(name, entry.url, target, entry.size, expected)


def _refuse_pickle(name: str, config: Config, entry: ModelEntry, target: Path) -> None:
    allowed = entry.sha256 is not None or name in config.models.allow_unverified
    if target.suffix.lower() in PICKLE_SUFFIXES and not allowed:
        raise ModelRefused(
            f"{name}: {target.name} is a pickle, which can run code when it is loaded; put its "
            f"sha256 in models.yaml, or add {name} to allow_unverified there"
        )


def _file_name(name: str, url: str) -> str:
    """The last part of the address, for models that are a folder."""
    file_name = PurePosixPath(URL(url).path).name
    if not file_name or file_name.startswith("."):
        raise BadUrl(f"{name}: its url does not end in a file name")
    return file_name


def _is_right(name: str, config: Config, target: Path) -> bool:
    """Whether the file is there and in order already."""
    if not target.exists():
        return False
    try:
        return verify(name, config).basis != "nothing"
    except ModelError:
        return False
