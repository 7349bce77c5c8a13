"""Reading a GGUF file's header: metadata and where its tensors lie, never the tensors themselves.

The ``gguf`` package is not used here: opening a 98 MB model with it took 1.9 s and 155 MB, because
it makes an array of each of the vocabulary's strings. This reader skips them, in about 40 ms.
Whatever is in the file, it ends in bounded time and memory and raises nothing but ``ModelRefused``.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from io import BufferedReader, FileIO
from pathlib import Path

from danzar.errors import ModelMissing, ModelRefused

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_BUFFER_BYTES = 1024 * 1024
_MAX_HEADER_BYTES = 64 * 1024 * 1024
_MAX_FIELDS = 2048
_MAX_TENSORS = 65_536
_MAX_DIMENSIONS = 4
_MAX_NAME_BYTES = 65_535
_MAX_KEPT_TEXT_BYTES = 4096
_MAX_KEPT_ITEMS = 512

_STRING, _ARRAY = 8, 9
_SCALARS = {
    kind: struct.Struct(f"<{code}")
    for kind, code in {
        0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
    }.items()
}  # fmt: skip
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")

# Type number of a tensor: (elements in a block, bytes of a block). Same as gguf.constants, which a
# test compares.
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34),
    9: (32, 40), 10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210),
    15: (256, 292), 16: (256, 66), 17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18),
    21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8),
    28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}  # fmt: skip

Value = int | float | bool | str | tuple[int | float | bool, ...]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor.

    Attributes:
        kind: Number of its type in ``BLOCKS``.
        offset_bytes: Counted from the start of the tensor data.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    offset_bytes: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says about itself.

    Attributes:
        metadata: Numbers, short texts and short lists of numbers, by key.
        lengths: Number of items of each list, kept or not.
        data_start_bytes: Where the tensor data begins.
        file_bytes: Size of the file.
    """

    path: Path
    metadata: dict[str, Value]
    lengths: dict[str, int]
    tensors: tuple[Tensor, ...]
    data_start_bytes: int
    file_bytes: int

    @property
    def needed_bytes(self) -> int:
        """The size that the file must have for its tensors to be whole; 0 without tensors."""
        ends = (self.data_start_bytes + t.offset_bytes + t.size_bytes for t in self.tensors)
        return max(ends, default=0)


def read_header(path: str | Path) -> GgufHeader:
    """Read the header. Blocks for tens of milliseconds; large vocabularies take longest.

    Raises:
        danzar.errors.ModelMissing: There is no such file, or it can't be opened.
        danzar.errors.ModelRefused: The file is no GGUF, is damaged, or is of an unknown version.
    """
    path = Path(path)
    try:
        with BufferedReader(path.open("rb", buffering=0), _BUFFER_BYTES) as file:
            return _HeaderReader(path, file, path.stat().st_size).read()
    except OSError as exc:
        raise ModelMissing(f"{path} can't be read: {exc.strerror or exc}") from exc


class _HeaderReader:
    """Walks through one open file. All numbers are little-endian."""

    def __init__(self, path: Path, file: BufferedReader[FileIO], file_bytes: int) -> None:
        self._path = path
        self._file = file
        self._file_bytes = file_bytes
        self._end_bytes = min(file_bytes, _MAX_HEADER_BYTES)
        self._position = 0

    def read(self) -> GgufHeader:
        tensor_count, field_count = self._preamble()
        metadata: dict[str, Value] = {}
        lengths: dict[str, int] = {}
        for _ in range(field_count):
            self._field(metadata, lengths)
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or not 0 < alignment <= _MAX_HEADER_BYTES:
            raise self._refuse(f"alignment is {alignment!r}")
        tensors = tuple(self._tensor() for _ in range(tensor_count))
        start = math.ceil(self._position / alignment) * alignment
        return GgufHeader(self._path, metadata, lengths, tensors, start, self._file_bytes)

    def _preamble(self) -> tuple[int, int]:
        """Check magic and version; return the counts of tensors and metadata fields."""
        magic = self._take(4) if self._file_bytes >= len(_MAGIC) else b""
        if magic != _MAGIC:
            raise ModelRefused(
                f"{self._path.name} is no GGUF file: it begins with {magic!r}, not {_MAGIC!r}"
            )
        version = self._number(_U32)
        if version not in _VERSIONS:
            raise self._refuse(f"version is {version}; this build reads {_VERSIONS}")
        tensor_count, field_count = self._number(_U64), self._number(_U64)
        if tensor_count > _MAX_TENSORS or field_count > _MAX_FIELDS:
            raise self._refuse(f"it claims {tensor_count} tensors and {field_count} fields")
        return tensor_count, field_count

    def _field(self, metadata: dict[str, Value], lengths: dict[str, int]) -> None:
        key = self._text(_MAX_NAME_BYTES)
        kind = self._number(_U32)
        if kind == _ARRAY:
            item_kind, length = self._number(_U32), self._number(_U64)
            lengths[key] = length
            items = self._items(item_kind, length)
            if items is not None:
                metadata[key] = items
        elif kind == _STRING:
            size = self._number(_U64)
            if size <= _MAX_KEPT_TEXT_BYTES:
                metadata[key] = self._take(size).decode("utf-8", "replace")
            else:
                self._skip(size)
        else:
            metadata[key] = self._scalar(kind)

    def _items(self, kind: int, length: int) -> tuple[int | float | bool, ...] | None:
        """A short list of numbers; others are skipped and give ``None``."""
        if kind == _STRING:
            self._skip_texts(length)
            return None
        if kind not in _SCALARS:
            raise self._refuse(f"a list holds items of the unknown type {kind}")
        if length > _MAX_KEPT_ITEMS:
            self._skip(length * _SCALARS[kind].size)
            return None
        return tuple(self._scalar(kind) for _ in range(length))

    def _tensor(self) -> Tensor:
        name = self._text(_MAX_NAME_BYTES)
        dimensions = self._number(_U32)
        if dimensions > _MAX_DIMENSIONS:
            raise self._refuse(f"tensor {name!r} has {dimensions} dimensions")
        shape = tuple(self._number(_U64) for _ in range(dimensions))
        kind = self._number(_U32)
        if kind not in BLOCKS:
            raise self._refuse(f"tensor {name!r} is of the unknown type {kind}")
        block_items, block_bytes = BLOCKS[kind]
        size_bytes = math.prod(shape) // block_items * block_bytes
        return Tensor(name, shape, kind, self._number(_U64), size_bytes)

    def _scalar(self, kind: int) -> int | float | bool:
        if kind not in _SCALARS:
            raise self._refuse(f"a field is of the unknown type {kind}")
        layout = _SCALARS[kind]
        value: int | float | bool = layout.unpack(self._take(layout.size))[0]
        return value

    def _number(self, layout: struct.Struct) -> int:
        value: int = layout.unpack(self._take(layout.size))[0]
        return value

    def _text(self, max_bytes: int) -> str:
        size = self._number(_U64)
        if size > max_bytes:
            raise self._refuse(f"a name is {size} bytes long")
        return self._take(size).decode("utf-8", "replace")

    def _skip_texts(self, count: int) -> None:
        """Pass over ``count`` strings, as many at a time as lie whole in the file's buffer."""
        while count:
            window = self._file.peek(_U64.size)
            passed, used = _whole_texts(window, count)
            if passed:
                self._skip(used)
                count -= passed
            else:
                self._skip(self._number(_U64))
                count -= 1

    def _take(self, size: int) -> bytes:
        self._advance(size)
        data = self._file.read(size)
        if len(data) != size:
            raise self._refuse("it ends in the middle of its header")
        return data

    def _skip(self, size: int) -> None:
        self._advance(size)
        self._file.seek(size, 1)

    def _advance(self, size: int) -> None:
        """Move the position; whatever would lead beyond the end is refused before it is read."""
        self._position += size
        if self._position > self._file_bytes:
            raise self._refuse("it ends in the middle of its header")
        if self._position > self._end_bytes:
            raise self._refuse(f"its header is longer than {_MAX_HEADER_BYTES} bytes")

    def _refuse(self, what: str) -> ModelRefused:
        return ModelRefused(
            f"{self._path.name} is a damaged or cut GGUF file: {what}; download it again"
        )


def _whole_texts(window: bytes, count: int) -> tuple[int, int]:
    """How many of ``count`` strings lie whole in ``window``, and how many bytes they take."""
    position, end, passed = 0, len(window), 0
    unpack = _U64.unpack_from
    while passed < count and position + _U64.size <= end:
        after = position + _U64.size + unpack(window, position)[0]
        if after > end:
            break
        position = after
        passed += 1
    return passed, position
