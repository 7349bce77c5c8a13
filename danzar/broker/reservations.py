"""What is kept free: as configured, and as people asked for while Danzar runs.

What a person asks for stands in for the configured reservation of that device and purpose until it
is cleared, and outlives a restart in ``reservations.json``.
"""

import asyncio
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from danzar.core.book import Reservation
from danzar.errors import BadInput
from danzar.json_file import read_json, write_json
from danzar.units import MIB, parse_size

MOST_RESERVATIONS = 64
_PURPOSE_PATTERN = r"^[a-z][a-z0-9_-]{0,23}$"
# The seed writes GB and means GiB.
_LOOSE_UNIT = re.compile(r"(?<=[0-9\s])([kmg])b?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Asked:
    """A reservation that a person made; ``at_s`` is seconds since 1970."""

    device_uuid: str
    purpose: Annotated[str, msgspec.Meta(pattern=_PURPOSE_PATTERN)]
    size_bytes: Annotated[int, msgspec.Meta(gt=0)]
    actor: str
    at_s: float

    @property
    def reservation(self) -> Reservation:
        """What the ledger sees of it."""
        return Reservation(self.device_uuid, self.purpose, self.size_bytes)


class _Rows(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The file."""

    reservations: tuple[Asked, ...]
    version: Literal[1] = 1


class Reservations:
    """Both kinds as one list; the only one who changes the ledger's."""

    def __init__(
        self,
        configured: Sequence[Reservation],
        apply: Callable[[tuple[Reservation, ...]], None],
        path: Path | None = None,
        clock_s: Callable[[], float] = time.time,
    ) -> None:
        """Begin with what is configured; nothing is applied yet.

        Args:
            configured: The owner's, as the ledger has them already.
            apply: Replaces all reservations of the ledger.
            path: Where people's are kept; ``None`` forgets them at the end.
            clock_s: Seconds since 1970.
        """
        self._configured = tuple(configured)
        self._apply = apply
        self._path = path
        self._clock_s = clock_s
        self._asked: dict[tuple[str, str], Asked] = {}

    @property
    def asked(self) -> tuple[Asked, ...]:
        """People's, oldest first."""
        return tuple(self._asked.values())

    @property
    def all(self) -> tuple[Reservation, ...]:
        """What the ledger has."""
        return self._merged(self._asked)

    def with_one(self, reservation: Reservation) -> tuple[Reservation, ...]:
        """What the ledger would have with one more; changes nothing."""
        asked = Asked(reservation.device_uuid, reservation.purpose, reservation.size_bytes, "", 0)
        return self._merged({**self._asked, _key(asked): asked})

    def configure(self, configured: Sequence[Reservation]) -> None:
        """Go by other configured ones from now on; people's stay."""
        self._configured = tuple(configured)
        self._apply(self.all)

    async def restore(self) -> None:
        """Read what people asked for before the restart; a damaged file counts as empty."""
        if self._path is None:
            return
        kept = "reservations of before the restart"
        found = await asyncio.to_thread(read_json, self._path, _Rows, kept)
        rows = found.reservations if found else ()
        self._asked = {_key(row): row for row in rows[:MOST_RESERVATIONS]}
        if self._asked:
            self._apply(self.all)

    async def add(self, reservation: Reservation, actor: str) -> None:
        """Keep bytes free from now on, in place of what that device and purpose had.

        Raises:
            BadInput: There are too many.
        """
        row = Asked(
            reservation.device_uuid,
            reservation.purpose,
            reservation.size_bytes,
            actor,
            self._clock_s(),
        )
        if _key(row) not in self._asked and len(self._asked) >= MOST_RESERVATIONS:
            raise BadInput(f"there are {MOST_RESERVATIONS} reservations already; clear some first")
        await self._change({**self._asked, _key(row): row})

    async def clear(self, device_uuid: str | None = None) -> tuple[Asked, ...]:
        """Forget people's reservations, of one device or of all; returns them."""
        gone = tuple(r for r in self.asked if device_uuid in (None, r.device_uuid))
        await self._change({k: r for k, r in self._asked.items() if r not in gone})
        return gone

    async def _change(self, asked: dict[tuple[str, str], Asked]) -> None:
        if self._path is not None:
            await asyncio.to_thread(write_json, self._path, _Rows(tuple(asked.values())))
        self._asked = asked
        self._apply(self.all)

    def _merged(self, asked: dict[tuple[str, str], Asked]) -> tuple[Reservation, ...]:
        kept = (r for r in self._configured if (r.device_uuid, r.purpose) not in asked)
        return (*kept, *(row.reservation for row in asked.values()))


def parse_amount(text: str) -> int:
    """Bytes in ``6GB``, ``6 GiB``, ``512MB`` or ``1.5g``; GB means GiB, as in the seed.

    Raises:
        BadInput: It is no size, or too small to mean anything.
    """
    plain = _LOOSE_UNIT.sub(r"\1iB", text.strip())
    try:
        size_bytes = parse_size(plain)
    except ValueError:
        raise BadInput("that is no size; write it as 6GB, 6 GiB or 512MB") from None
    if size_bytes < MIB:
        raise BadInput("that is less than 1MB; write 6GB without a blank, or `reserve clear`")
    return size_bytes


def parse_purpose(text: str) -> str:
    """A purpose's name in small letters.

    Raises:
        BadInput: It is none.
    """
    name = text.strip().casefold()
    if re.match(_PURPOSE_PATTERN, name) is None:
        raise BadInput(
            "a purpose is one word of at most 24 letters, digits, - and _, such as games"
        )
    return name


def _key(row: Asked) -> tuple[str, str]:
    return row.device_uuid, row.purpose
