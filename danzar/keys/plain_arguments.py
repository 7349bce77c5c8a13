"""docket without pickle: what it writes and reads are a few plain values as JSON.

docket 0.27 puts a task's arguments, results, errors and strikes into Redis with ``cloudpickle``,
and reading a pickle runs whatever its writer put there: one stolen node password would be code on
every machine. docket has no setting for it, but calls ``cloudpickle.dumps`` and ``.loads`` by those
names. ``use_plain_arguments`` replaces both for this process; nothing else in it uses cloudpickle
(workers, which import torch, are processes of their own).
"""

from typing import Any, Final

import cloudpickle  # type: ignore[import-untyped]
import msgspec

from danzar.keys.errors import KeysError

MAX_ARGUMENT_BYTES: Final = 64 * 1024
_ERROR: Final = "danzar-error"

Plain = str | int | float | bool | None


class NotPlain(KeysError):
    """Something other than plain values was to be written to the queue, or stood there."""


class RemoteError(KeysError):
    """What a task raised on another node; only its text travels."""


def use_plain_arguments() -> None:
    """From now on, docket in this process neither writes nor reads pickles. May be repeated."""
    cloudpickle.dumps = dumps
    cloudpickle.loads = loads


def dumps(value: object, *_: object, **__: object) -> bytes:
    """Plain values, or a tuple, list or dict of them, as JSON; an error as its text.

    Raises:
        NotPlain: The value is something else, or too large.
    """
    if isinstance(value, BaseException):
        value = {_ERROR: f"{type(value).__name__}: {value}"[:1000]}
    if not _is_plain(value):
        raise NotPlain(f"a {type(value).__name__} can't go through the queue; only text can")
    data = msgspec.json.encode(value)
    if len(data) > MAX_ARGUMENT_BYTES:
        raise NotPlain(f"{len(data)} bytes can't go through the queue")
    return data


def loads(data: bytes, *_: object, **__: object) -> Any:  # noqa: ANN401 - as cloudpickle's
    """What ``dumps`` wrote; a list comes back as a tuple, an error as ``RemoteError``.

    Raises:
        NotPlain: Something else stands there, for example a pickle.
    """
    if len(data) > MAX_ARGUMENT_BYTES:
        raise NotPlain(f"{len(data)} bytes in the queue are too much")
    try:
        value = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise NotPlain("what stands in the queue was not written by Danzar") from exc
    if not _is_plain(value):
        raise NotPlain("what stands in the queue is nested, which Danzar never writes")
    if isinstance(value, dict) and value.keys() == {_ERROR}:
        return RemoteError(str(value[_ERROR]))
    return tuple(value) if isinstance(value, list) else value


def _is_plain(value: object) -> bool:
    match value:
        case tuple() | list():
            return all(isinstance(item, Plain) for item in value)
        case dict():
            return all(isinstance(k, str) and isinstance(v, Plain) for k, v in value.items())
        case _:
            return isinstance(value, Plain)
