"""How many numbers of which kind a torch model's files hold, without loading them.

A checkpoint (``.pt``) is a ZIP of raw numbers beside a pickle that says of which kind they are.
The pickle's instructions are listed, never carried out: carrying them out could run any code.
"""

import json
import math
import pickletools
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from danzar.errors import ModelMissing, ModelRefused

_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".safetensors", ".onnx"})
_MAX_HEADER_BYTES = 64 * 1024 * 1024
# Bytes of one number, for kinds that a model computes with; others are kept as they are.
_FLOATS = {"HalfStorage": 2, "BFloat16Storage": 2, "FloatStorage": 4, "DoubleStorage": 8}
_SAFE_FLOATS = {"F16": 2, "BF16": 2, "F32": 4, "F64": 8}


def weights_bytes(path: Path, float_bytes: int) -> int:
    """What the weights take once they are loaded.

    Args:
        path: A file, or a folder of which all weights files count.
        float_bytes: Bytes of a number that the model computes with: 4, or 2 in half precision.

    Raises:
        danzar.errors.ModelMissing: No weights are there.
        danzar.errors.ModelRefused: A file is damaged.
    """
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.suffix in _SUFFIXES]
    if not files:
        raise ModelMissing(f"{path} holds no weights; run danzar models pull, or correct the path")
    return sum(_file_bytes(file, float_bytes) for file in files)


def _file_bytes(file: Path, float_bytes: int) -> int:
    """Of one file; where its kind is not known, its size."""
    try:
        if file.suffix == ".safetensors":
            return sum(_safe_sizes(file, float_bytes))
        if zipfile.is_zipfile(file):
            return sum(_checkpoint_sizes(file, float_bytes))
        return file.stat().st_size
    except OSError as exc:
        raise ModelMissing(f"{file} can't be read: {exc.strerror or exc}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as exc:
        raise ModelRefused(f"{file.name} is damaged ({exc}); fetch it again") from exc


def tensor_numbers(file: Path) -> dict[str, int]:
    """How many numbers each tensor of a file holds, by its name; of a pickle all under one name.

    Raises:
        danzar.errors.ModelMissing: It can't be read.
        danzar.errors.ModelRefused: It is damaged.
    """
    if file.suffix != ".safetensors":
        return {"all": _file_bytes(file, 1)}
    try:
        tensors = dict(_safe_tensors(file))
        return {name: math.prod(tensor["shape"]) for name, tensor in tensors.items()}
    except OSError as exc:
        raise ModelMissing(f"{file} can't be read: {exc.strerror or exc}") from exc
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise ModelRefused(f"{file.name} is damaged ({exc}); fetch it again") from exc


def _safe_sizes(file: Path, float_bytes: int) -> Iterator[int]:
    for _, tensor in _safe_tensors(file):
        start, end = tensor["data_offsets"]
        yield _loaded(end - start, _SAFE_FLOATS.get(tensor["dtype"]), float_bytes)


def _safe_tensors(file: Path) -> Iterator[tuple[str, Any]]:
    """What the header of a safetensors file says of each tensor, by its name."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8).ljust(8, b"\0"))
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"its header would be {length} bytes long")
        header = json.loads(stream.read(length))
    yield from ((name, tensor) for name, tensor in header.items() if name != "__metadata__")


def _checkpoint_sizes(file: Path, float_bytes: int) -> Iterator[int]:
    with zipfile.ZipFile(file) as archive:
        sizes = {
            Path(entry.filename).name: entry.file_size
            for entry in archive.infolist()
            if Path(entry.filename).parent.name == "data"
        }
        names = [name for name in archive.namelist() if name.endswith("data.pkl")]
        kinds = _storage_kinds(archive.read(names[0])) if names else {}
    for key, size_bytes in sizes.items():
        yield _loaded(size_bytes, _FLOATS.get(kinds.get(key, "")), float_bytes)


def _storage_kinds(pickle: bytes) -> dict[str, str]:
    """The kind of numbers of each entry of a checkpoint, by the entry's name."""
    kinds: dict[str, str] = {}
    memo: dict[int, object] = {}
    kind, last = "", None
    for op, argument, _ in pickletools.genops(pickle):
        value = memo.get(argument) if "GET" in op.name and isinstance(argument, int) else argument
        if "PUT" in op.name and isinstance(argument, int):
            memo[argument] = last
        elif op.name == "MEMOIZE":
            memo[len(memo)] = last
        elif isinstance(value, str):
            last = value
            if value.endswith("Storage"):
                kind = value.rpartition(" ")[2]
            elif value.isdecimal() and kind:
                kinds.setdefault(value, kind)
    return kinds


def _loaded(size_bytes: int, number_bytes: int | None, float_bytes: int) -> int:
    return size_bytes if number_bytes is None else size_bytes // number_bytes * float_bytes
