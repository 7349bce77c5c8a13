"""PNG files without a picture library: raw pixels as one, and words put into one. Pure."""

import struct
import zlib
from collections.abc import Iterator, Mapping

from danzar.workers.contract import Picture

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_RGB = 2
_LONGEST_KEY = 79


def as_file(picture: Picture) -> tuple[bytes, str]:
    """The picture as a file, and its name's ending."""
    match picture.encoding:
        case "rgb":
            return _encoded(picture), "png"
        case "jpeg":
            return picture.data, "jpg"
        case "png":
            return picture.data, "png"


def with_words(png: bytes, words: Mapping[str, str]) -> bytes:
    """The file with ``words`` (by keyword) after its header; anything but a PNG stays as it is."""
    if not png.startswith(_SIGNATURE):
        return png
    after_header = len(_SIGNATURE) + 12 + int.from_bytes(png[8:12], "big")
    chunks = b"".join(_chunk(b"iTXt", _words(key, text)) for key, text in words.items())
    return png[:after_header] + chunks + png[after_header:]


def words_in(png: bytes) -> dict[str, str]:
    """The words that ``with_words`` put in."""
    found = {}
    for name, data in _chunks(png):
        if name == b"iTXt":
            key, _, rest = data.partition(b"\0")
            found[key.decode("latin-1")] = rest[4:].decode()
    return found


def size_of(png: bytes) -> tuple[int, int]:
    """Width and height in the header."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _encoded(picture: Picture) -> bytes:
    row = 3 * picture.width
    rows = (picture.data[i : i + row] for i in range(0, row * picture.height, row))
    pixels = zlib.compress(b"".join(b"\0" + line for line in rows), 6)
    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, _RGB, 0, 0, 0)
    return b"".join(
        (_SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", pixels), _chunk(b"IEND", b""))
    )


def _words(key: str, text: str) -> bytes:
    """Uncompressed international text, without language or translation."""
    name = key.encode("latin-1", errors="replace")[:_LONGEST_KEY]
    return name + b"\0\0\0\0\0" + text.replace("\0", "").encode("utf-8", "replace")


def _chunk(name: bytes, data: bytes) -> bytes:
    check = zlib.crc32(name + data)
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", check)


def _chunks(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_SIGNATURE)
    while at + 12 <= len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        yield png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        at += 12 + length
