"""Pictures that stand in a message as ``data:`` URLs. Pure."""

import base64
import binascii
import re

from danzar.errors import BadPicture
from danzar.units import format_size

_HEAD = re.compile(r"data:(?P<kind>[\w.+-]+/[\w.+-]+)?(?P<rest>(?:;[^,;]*)*),", re.ASCII)
_BYTES_PER_4_LETTERS = 3
_LONGEST_HEAD = 200


def is_data_url(url: str) -> bool:
    """Whether the picture is in the URL itself."""
    return url[:5].lower() == "data:"


def read_data_url(url: str, max_bytes: int) -> bytes:
    """The file in a ``data:image/...;base64,`` URL.

    Args:
        url: What a client sent.
        max_bytes: Larger files are refused before they are decoded.

    Raises:
        BadPicture: It is no such URL, its base64 is broken, or it is too large.
    """
    head = _HEAD.match(url[:_LONGEST_HEAD].lower())
    if head is None:
        raise BadPicture("it is no data: URL; write data:image/png;base64, and the file's base64")
    kind = head["kind"] or "nothing"
    if not kind.startswith("image/"):
        raise BadPicture(f"its data: URL says that it is {kind}, not image/...")
    if not head["rest"].endswith(";base64"):
        raise BadPicture("its data: URL is not in base64; write data:image/png;base64,...")
    return _decode(url[head.end() :], max_bytes)


def _decode(text: str, max_bytes: int) -> bytes:
    size_bytes = len(text) // 4 * _BYTES_PER_4_LETTERS
    if size_bytes > max_bytes + _BYTES_PER_4_LETTERS:
        raise BadPicture(
            f"the file has {format_size(size_bytes)}, and at most {format_size(max_bytes)} are "
            "accepted; send a smaller one"
        )
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise BadPicture(f"its base64 is broken: {exc}") from exc
    if not data:
        raise BadPicture("the file is empty")
    return data
