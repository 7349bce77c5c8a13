"""The time of day where the owner lives."""

import calendar
import time


def local_s() -> float:
    """Seconds since 1970 in local time, as a clock on the wall shows it."""
    now_s = time.time()
    return calendar.timegm(time.localtime(now_s)) + now_s % 1
