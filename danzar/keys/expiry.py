"""How long certificates are still good, and which of them want renewing. Pure but for reading."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final, Literal

from danzar.keys.authority import read_certificate
from danzar.keys.private_files import open_to_others, read_private

WARN_BEFORE: Final = timedelta(days=30)

Health = Literal["good", "soon", "expired"]


@dataclass(frozen=True, slots=True)
class Expiry:
    """One certificate.

    Attributes:
        name: What a person calls it: a node, ``server``, ``the authority``.
        exposed: Others on this machine may read the private key beside it.
    """

    name: str
    expires: datetime
    health: Health
    exposed: bool = False


def judge(expires: datetime, now: datetime) -> Health:
    """Whether it is good for a while, for less than 30 days, or no longer."""
    if expires <= now:
        return "expired"
    return "soon" if expires - now < WARN_BEFORE else "good"


def read_expiries(files: Mapping[str, Path], now: datetime) -> list[Expiry]:
    """Every certificate's end, the nearest first. Blocks.

    Raises:
        danzar.keys.errors.KeyFileBad: A file is missing or no certificate.
    """
    found = []
    for name, file in files.items():
        expires = read_certificate(read_private(file), str(file)).not_valid_after_utc
        key = file.with_suffix(".key")
        exposed = key.exists() and open_to_others(key)
        found.append(Expiry(name, expires, judge(expires, now), exposed))
    return sorted(found, key=lambda each: each.expires)
