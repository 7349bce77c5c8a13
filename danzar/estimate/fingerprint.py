"""Telling model files apart without reading them whole."""

import hashlib
from pathlib import Path

from danzar.errors import ModelMissing

_END_BYTES = 1024 * 1024
_SUFFIXES = frozenset({".gguf", ".pt", ".pth", ".bin", ".safetensors", ".onnx"})


def fingerprint(path: str | Path) -> str:
    """A hash of the size and the first and last MiB of a file, or of a folder's weights files.

    Enough to tell which file a measurement was of: what decides about memory stands at the
    beginning of a GGUF or safetensors file and at the end of a checkpoint. It vouches for nothing.
    Blocks for milliseconds.

    Raises:
        danzar.errors.ModelMissing: The file is not there, or can't be read.
    """
    path = Path(path)
    digest = hashlib.sha256()
    try:
        for file in _files(path):
            _add(digest, file)
    except OSError as exc:
        raise ModelMissing(f"{path} can't be read: {exc.strerror or exc}") from exc
    return digest.hexdigest()


def _files(path: Path) -> list[Path]:
    if not path.is_dir():
        return [path]
    return sorted(file for file in path.rglob("*") if file.suffix in _SUFFIXES)


def _add(digest: "hashlib._Hash", file: Path) -> None:
    size_bytes = file.stat().st_size
    digest.update(f"{size_bytes} ".encode())
    with file.open("rb") as stream:
        digest.update(stream.read(_END_BYTES))
        stream.seek(max(_END_BYTES, size_bytes - _END_BYTES))
        digest.update(stream.read(_END_BYTES))
