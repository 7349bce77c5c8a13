"""Whether a model's file is the one that the manifest means."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import ModelMissing, ModelRefused
from danzar.estimate.gguf import check_gguf
from danzar.models.checksums import Checksums, OnBytes
from danzar.models.files import check_allowed, entry_of, resolve, weights_files

Basis = Literal["manifest", "first pull", "package", "built in", "nothing"]


@dataclass(frozen=True, slots=True)
class Verified:
    """A model whose file is in order.

    Attributes:
        path: Its file or folder; ``None`` where the backend carries its own weights.
        size_bytes: Of the weights file, or of all that a pipeline is loaded from; ``None`` with
            ``path``.
        sha256: What was measured; ``None`` with ``path``.
        basis: What vouches for it: the manifest's checksum, the checksum seen at the first pull,
            the installed package that carries it, or nothing.
    """

    name: str
    path: Path | None
    size_bytes: int | None
    sha256: str | None
    basis: Basis


def verify(
    name: str, config: Config, on_bytes: OnBytes | None = None, *, fresh: bool = False
) -> Verified:
    """Check one model. Blocks: call it from a thread; quick when the file was checked before.

    Args:
        name: The model's name in ``models.yaml``.
        config: All settings.
        on_bytes: Told how far the checksum is.
        fresh: Read the file again even if it did not change.

    Raises:
        ModelMissing: It is not listed, or its file is not there.
        ModelRefused: It has another checksum or size, is damaged, or is not allowed.
    """
    path = resolve(name, config)
    if path is None:
        return Verified(name, None, None, None, "built in")
    check_allowed(name, config, path)
    weights = weights_files(path)
    checksums = Checksums(data_folder(config))
    try:
        size_bytes = sum(file.stat().st_size for file in weights)
        sha256 = checksums.of_all(weights, path, on_bytes, fresh=fresh)
    except OSError as exc:
        raise ModelMissing(f"{name}: {path} can't be read: {exc.strerror}") from exc
    basis = _compare(name, config, checksums.trusted(name), size_bytes, sha256)
    if weights[0].suffix.lower() == ".gguf":
        check_gguf(weights[0])
    return Verified(name, path, size_bytes, sha256, basis)


def _compare(name: str, config: Config, trusted: str | None, size_bytes: int, sha256: str) -> Basis:
    """What vouches for the file.

    Raises:
        ModelRefused: It is not the file that was meant.
    """
    entry = entry_of(config, name)
    if entry.size is not None and entry.size != size_bytes:
        raise ModelRefused(
            f"{name}: the file has {size_bytes} bytes, the manifest says {entry.size}; "
            f"{_again(name, config)}"
        )
    expected = entry.sha256 or trusted
    if expected is not None and expected != sha256:
        raise ModelRefused(
            f"{name}: the file's sha256 is {sha256}, expected {expected[:12]}...; "
            f"{_again(name, config)}"
        )
    if entry.sha256 is not None:
        return "manifest"
    if trusted is not None:
        return "first pull"
    return "package" if entry.package is not None else "nothing"


def _again(name: str, config: Config) -> str:
    entry = entry_of(config, name)
    if entry.url is not None:
        return f"run: danzar models pull {name}"
    if entry.package is not None:
        return f"run: uv sync --reinstall-package {entry.package.name}"
    return "put the right file there, or correct models.yaml"
