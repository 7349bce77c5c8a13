"""A loaded model as a piece of host RAM: frozen when it leaves a device, thawed when it comes back.

    prefix   magic, bytes of the index, bytes of the skeleton, where the weights begin
    index    of each tensor: type, shape, strides, place (JSON)
    skeleton everything else of the model: a pickle in which tensors are numbers of the index
    weights  the tensors, each as it lies in memory

The skeleton is code, as every pickle is. It is opened only where its checksum, and that of the
index, is the one that the worker told the bot which wrote it (``WarmCopy.seal``).
"""

import contextlib
import hashlib
import io
import pickle
import struct
import sys
from collections.abc import Iterator
from typing import Any, Final

import msgspec
import torch

from danzar.errors import BackendFailed
from danzar.workers import segment
from danzar.workers.contract import WarmCopy

_PREFIX: Final = struct.Struct("<8sQQQ")
_MAGIC: Final = b"DZWARM01"
_PAGE_BYTES: Final = 4096
# CUDA's allocator aligns by this, and so may kernels expect.
_ALIGN_BYTES: Final = 512


class _Row(msgspec.Struct, frozen=True, array_like=True):
    """One tensor of the index; ``stride`` in elements, ``offset`` in bytes from the weights."""

    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    size_bytes: int
    is_parameter: bool
    requires_grad: bool
    stays_on_host: bool


class _Freezer(pickle.Pickler):
    """Pickles everything but tensors, which it numbers."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, pickle.HIGHEST_PROTOCOL)
        self.tensors: list[torch.Tensor] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, obj: Any) -> int | None:  # noqa: ANN401 - pickle's signature
        """The number of a tensor; ``None`` for what is pickled as usual."""
        if not isinstance(obj, torch.Tensor):
            return None
        if id(obj) not in self._numbers:
            self._numbers[id(obj)] = len(self.tensors)
            self.tensors.append(obj)
        return self._numbers[id(obj)]


class _Thawer(pickle.Unpickler):
    """Puts the tensors back."""

    def __init__(self, file: io.BytesIO, tensors: list[torch.Tensor]) -> None:
        super().__init__(file)
        self._tensors = tensors

    def persistent_load(self, pid: Any) -> torch.Tensor:  # noqa: ANN401 - pickle's signature
        """The tensor of this number."""
        return self._tensors[int(pid)]


def freeze(model: object, address: str, limit_bytes: int) -> WarmCopy:
    """Leave a copy of a model, as it is now, in the segment at the address. Blocks.

    Args:
        model: Modules and whatever belongs to them; what is no tensor must be picklable.
        address: Of a segment that the bot has reserved.
        limit_bytes: The most that the copy may take.

    Raises:
        BackendFailed: It would take more, there is no memory, or a part of it can't be kept.
    """
    file = io.BytesIO()
    freezer = _Freezer(file)
    try:
        freezer.dump(model)
    except (pickle.PicklingError, TypeError, AttributeError) as exc:
        raise BackendFailed(f"the model has a part that can't be kept: {exc}") from exc
    skeleton = file.getvalue()
    rows = _place(freezer.tensors)
    index = msgspec.json.encode(rows)
    begin = _aligned(_PREFIX.size + len(index) + len(skeleton), _PAGE_BYTES)
    size_bytes = _aligned(begin + (_end(rows[-1]) if rows else 0), _PAGE_BYTES)
    if size_bytes > limit_bytes:
        raise BackendFailed(f"a copy takes {size_bytes} bytes, and {limit_bytes} were booked")
    head = _PREFIX.pack(_MAGIC, len(index), len(skeleton), begin) + index + skeleton
    _write(address, size_bytes, head, begin, list(zip(rows, freezer.tensors, strict=True)))
    return WarmCopy(address, size_bytes, hashlib.sha256(head).hexdigest())


def thaw(copy: WarmCopy, device: torch.device) -> Any:  # noqa: ANN401 - whatever was frozen
    """What was frozen, on a device. Blocks.

    On the CPU it works on the very memory of the copy; what it writes there nobody else sees. On a
    card everything is copied at once, from pinned memory where the driver can pin it.

    Raises:
        BackendFailed: The copy is gone or is not the one that was meant.
    """
    on_host = device.type == "cpu"
    mapping = segment.attach(copy.address, copy.size_bytes, private=on_host)
    magic, index_bytes, skeleton_bytes, begin = _PREFIX.unpack_from(mapping)
    end = _PREFIX.size + index_bytes + skeleton_bytes
    if magic != _MAGIC or not end <= begin <= copy.size_bytes:
        raise BackendFailed(f"there is no warm copy at {copy.address}")
    head = mapping[:end]
    if hashlib.sha256(head).hexdigest() != copy.seal:
        raise BackendFailed(f"the warm copy at {copy.address} is not the one that was kept")
    rows = msgspec.json.decode(head[_PREFIX.size : _PREFIX.size + index_bytes], type=list[_Row])
    host = torch.frombuffer(mapping, dtype=torch.uint8)[begin:]
    weights = host if on_host else _to_card(host, device)
    tensors = [_tensor(row, host.clone() if row.stays_on_host else weights) for row in rows]
    return _Thawer(io.BytesIO(head[_PREFIX.size + index_bytes :]), tensors).load()


def thaw_or_none(copy: WarmCopy | None, device: torch.device) -> Any:  # noqa: ANN401 - as thaw
    """What was frozen; ``None`` where there is no copy, or none that can be used: read the file.

    Raises:
        torch.OutOfMemoryError: The device is full.
    """
    if copy is None:
        return None
    try:
        return thaw(copy, device)
    except (BackendFailed, pickle.UnpicklingError, ImportError, AttributeError) as exc:
        sys.stderr.write(f"the warm copy is not used: {exc}\n")
        return None


def _place(tensors: list[torch.Tensor]) -> list[_Row]:
    """Where each goes. Raises ``BackendFailed`` for those that are more than plain memory."""
    rows: list[_Row] = []
    offset = 0
    cards = any(tensor.device.type != "cpu" for tensor in tensors)
    for tensor in tensors:
        if type(tensor) not in (torch.Tensor, torch.nn.Parameter) or not _is_plain(tensor):
            raise BackendFailed(f"a {type(tensor).__name__} of {tensor.layout} can't be kept")
        size_bytes = tensor.numel() * tensor.element_size()
        rows.append(
            _Row(
                dtype=str(tensor.dtype).removeprefix("torch."),
                shape=tuple(tensor.shape),
                stride=tuple(_dense(tensor).stride()),
                offset=offset,
                size_bytes=size_bytes,
                is_parameter=isinstance(tensor, torch.nn.Parameter),
                requires_grad=tensor.requires_grad,
                stays_on_host=cards and tensor.device.type == "cpu",
            )
        )
        offset = _aligned(offset + size_bytes, _ALIGN_BYTES)
    return rows


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.layout == torch.strided and not tensor.is_quantized and tensor.is_leaf


def _dense(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor without gaps between its elements, in the order in which it lies in memory."""
    packed = torch.empty_like(tensor, memory_format=torch.preserve_format, device="meta")
    return tensor if packed.stride() == tensor.stride() else tensor.contiguous()


def _write(
    address: str,
    size_bytes: int,
    head: bytes,
    begin: int,
    tensors: list[tuple[_Row, torch.Tensor]],
) -> None:
    mapping = segment.create(address, size_bytes)
    mapping[: len(head)] = head
    host = torch.frombuffer(mapping, dtype=torch.uint8)[begin:]
    with torch.no_grad():
        for row, tensor in tensors:
            _tensor(row, host, as_parameter=False).copy_(tensor, non_blocking=True)
    if any(tensor.is_cuda for _, tensor in tensors):
        torch.cuda.synchronize()


def _tensor(row: _Row, weights: torch.Tensor, *, as_parameter: bool = True) -> torch.Tensor:
    part = weights[row.offset : row.offset + row.size_bytes].view(getattr(torch, row.dtype))
    shaped = part.as_strided(row.shape, row.stride)
    if as_parameter and row.is_parameter:
        return torch.nn.Parameter(shaped, requires_grad=row.requires_grad)
    return shaped.requires_grad_(row.requires_grad) if as_parameter else shaped


def _to_card(host: torch.Tensor, device: torch.device) -> torch.Tensor:
    with _pinned(host):
        weights = host.to(device, non_blocking=True)
        torch.cuda.synchronize(device)
    return weights


@contextlib.contextmanager
def _pinned(host: torch.Tensor) -> Iterator[None]:
    """Pin the memory while it is copied, so that the card fetches it by itself at full speed.

    Where the driver refuses, the copy goes through the driver's own small pinned buffers.
    """
    cudart = torch.cuda.cudart()  # type: ignore[no-untyped-call]
    address = host.untyped_storage().data_ptr()
    pinned = int(cudart.cudaHostRegister(address, host.untyped_storage().nbytes(), 0)) == 0
    try:
        yield
    finally:
        if pinned:
            cudart.cudaHostUnregister(address)


def _end(row: _Row) -> int:
    return row.offset + row.size_bytes


def _aligned(size_bytes: int, to_bytes: int) -> int:
    return -(-size_bytes // to_bytes) * to_bytes
