"""Certificates that end soon: a month before, they become incidents."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import NoReturn

from danzar.core.device_text import harmless
from danzar.core.incident import Observation
from danzar.core.pressure import Level
from danzar.errors import DanzarError
from danzar.keys.expiry import Expiry
from danzar.keys.own_certificates import remedy

log = logging.getLogger(__name__)

_LOOK_S = 3600.0
_LEVELS = {"good": Level.NORMAL, "soon": Level.WARNING, "expired": Level.CRITICAL}


class CertificateWatch:
    """Reads them now and then; the owner runs ``run`` in a TaskGroup."""

    def __init__(self, read: Callable[[], Sequence[Expiry]], *, look_s: float = _LOOK_S) -> None:
        """``read`` is called in a thread, and may raise ``DanzarError`` or ``OSError``."""
        self._read = read
        self._look_s = look_s
        self._expiries: Sequence[Expiry] = ()

    async def run(self) -> NoReturn:
        """Until cancelled."""
        while True:
            try:
                self._expiries = await asyncio.to_thread(self._read)
            except (DanzarError, OSError) as exc:
                log.warning("certificates can't be looked at: %s", exc)
            await asyncio.sleep(self._look_s)

    def observe(self) -> list[Observation]:
        """One observation for each certificate; for ``MemoryMonitor.add_source``."""
        return [observe_certificate(expiry) for expiry in self._expiries]


def observe_certificate(expiry: Expiry) -> Observation:
    """How good one is. Pure."""
    what = f"The certificate of {harmless(expiry.name)}"
    day = f"{expiry.expires:%Y-%m-%d}"
    text = {
        "good": f"{what} is good until {day}",
        "soon": f"{what} ends on {day}. Before that: {remedy(expiry.name)}",
        "expired": f"{what} ended on {day}, and is refused. Now: {remedy(expiry.name)}",
    }
    return Observation(f"certificate:{expiry.name}", _LEVELS[expiry.health], text[expiry.health])
