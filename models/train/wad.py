"""Whether a place on a map is under the open sky, read from the WAD's own level data."""

import struct
from pathlib import Path

_LUMPS = ("LINEDEFS", "SIDEDEFS", "SEGS", "SSECTORS", "NODES", "SECTORS")


class SkyMap:
    """Answers for one map. The formats are those of the original game's levels."""

    def __init__(self, wad: Path, map_name: str) -> None:
        lumps = _level_lumps(wad.read_bytes(), map_name)
        self._nodes = list(struct.iter_unpack("<4h8h2H", lumps["NODES"]))
        self._subsectors = list(struct.iter_unpack("<2H", lumps["SSECTORS"]))
        self._segs = list(struct.iter_unpack("<6H", lumps["SEGS"]))
        self._lines = list(struct.iter_unpack("<7H", lumps["LINEDEFS"]))
        self._sides = list(struct.iter_unpack("<2h8s8s8sH", lumps["SIDEDEFS"]))
        self._sectors = list(struct.iter_unpack("<2h8s8s3h", lumps["SECTORS"]))

    def is_outdoors(self, x: float, y: float) -> bool:
        """Whether the sector at this place has the sky for a ceiling."""
        first_seg = self._subsectors[self._subsector(x, y)][1]
        _, _, _, line, direction, _ = self._segs[first_seg]
        sector = self._sides[self._lines[line][5 + direction]][5]
        return self._sectors[sector][3].rstrip(b"\0").upper() == b"F_SKY1"

    def _subsector(self, x: float, y: float) -> int:
        child = len(self._nodes) - 1
        while not child & 0x8000:
            node = self._nodes[child]
            node_x, node_y, delta_x, delta_y = node[:4]
            on_left = delta_x * (y - node_y) > delta_y * (x - node_x)
            child = node[13] if on_left else node[12]
        return child & 0x7FFF


def _level_lumps(wad: bytes, map_name: str) -> dict[str, bytes]:
    _, count, directory = struct.unpack_from("<4s2i", wad)
    entries = [struct.unpack_from("<2i8s", wad, directory + 16 * n) for n in range(count)]
    names = [name.rstrip(b"\0").decode() for *_, name in entries]
    start = names.index(map_name)
    found = {}
    for (offset, size, _), name in zip(
        entries[start + 1 : start + 11], names[start + 1 : start + 11], strict=True
    ):
        if name in _LUMPS:
            found[name] = wad[offset : offset + size]
    return found
