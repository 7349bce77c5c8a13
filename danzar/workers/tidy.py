"""What a worker does about its own memory in a quiet moment: garbage, and pages nothing is in.

Python looks for garbage that holds itself once new objects are a quarter of the old ones. torch
brings 430,000: tensors in such garbage stayed for hours. And the C library keeps the pages that a
burst of requests needed until it is asked for them.
"""

import gc
import time
from typing import Final, Protocol

from danzar.heap import give_back

TIDY_S: Final = 60.0
# One that is never idle is tidied in spite of that; with YOLO and CLIP it takes 0.2 s.
_PATIENCE_S: Final = 60.0
_LOOK_S: Final = 0.2


class Tidied(Protocol):
    """What is asked of the host."""

    @property
    def handled(self) -> int:
        """How many requests and changes of the models came so far."""

    def is_idle(self) -> bool:
        """Whether no request waits or is answered."""

    def wait_for_shutdown(self, timeout_s: float) -> bool:
        """Wait at most so long; whether the bot said so."""


def tidy_until_shutdown(host: Tidied, every_s: float = TIDY_S) -> None:
    """Tidy whenever something was done in the last ``every_s``. Blocks until the host is to end."""
    handled = host.handled
    while not host.wait_for_shutdown(every_s):
        if host.handled == handled:
            continue
        if _quiet_or_ended(host):
            return
        handled = host.handled
        gc.collect()
        give_back()


def _quiet_or_ended(host: Tidied) -> bool:
    """Wait for an idle moment, but not for ever; true once the host is to end."""
    until_s = time.monotonic() + _PATIENCE_S
    while not host.is_idle() and time.monotonic() < until_s:
        if host.wait_for_shutdown(_LOOK_S):
            return True
    return False
