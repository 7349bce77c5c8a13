"""What a worker does about its own memory once it has nothing to do: free pages, and garbage.

The C library keeps the pages that a burst of requests needed until it is asked for them, which
takes a millisecond or two. Python looks for garbage that holds itself once new objects are a
quarter of the old ones. torch brings 430,000: tensors in such garbage stayed for hours. To look for
it takes 0.2 s with YOLO and CLIP, in which nothing is answered; so that is done less often.
"""

import gc
import time
from typing import Final, Protocol

from danzar.heap import give_back

# A request that comes after that waits for its pages anew: on a slow machine YOLO 1.2 times as long
# as before, OCR 1.6 times. So they stay while a watch looks at a picture each second.
QUIET_S: Final = 2.0
COLLECT_S: Final = 60.0
PATIENCE_S: Final = 120.0


class Tidied(Protocol):
    """What is asked of the host."""

    @property
    def traffic(self) -> int:
        """Grows with each message that comes or goes."""

    def is_idle(self) -> bool:
        """Whether no request waits or is answered."""

    def wait_for_shutdown(self, timeout_s: float) -> bool:
        """Wait at most so long; whether the bot said so."""


def tidy_until_shutdown(
    host: Tidied,
    quiet_s: float = QUIET_S,
    collect_s: float = COLLECT_S,
    patience_s: float = PATIENCE_S,
) -> None:
    """Give free pages back whenever nothing came or went for ``quiet_s`` after something did.

    Garbage is collected in the first such moment ``collect_s`` after the first message since the
    last time; in a worker that is never quiet, after ``patience_s``. Blocks until the host is to
    end.
    """
    seen = given_back = collected = host.traffic
    untouched_s = time.monotonic()
    while not host.wait_for_shutdown(quiet_s):
        traffic = host.traffic
        is_quiet = host.is_idle() and traffic == seen
        seen = traffic
        if seen == collected:
            untouched_s = time.monotonic()
            continue
        waited_s = time.monotonic() - untouched_s
        if waited_s >= (collect_s if is_quiet else patience_s):
            gc.collect()
            give_back()
            collected = given_back = seen
        elif is_quiet and given_back != seen:
            give_back()
            given_back = seen
