"""The same time of day, every day, whatever the clocks do in between. Pure but for the zone."""

from collections.abc import Callable
from datetime import UTC, datetime, time, timedelta, tzinfo

Local = Callable[[datetime], datetime]
"""A naive local time as an aware one, UTC."""


def local_in(zone: tzinfo | None) -> Local:
    """Local times of a zone; ``None`` is this machine's."""

    def local(naive: datetime) -> datetime:
        # As UTC: the difference of two times of one zone ignores what its clocks did in between.
        return (naive.astimezone() if zone is None else naive.replace(tzinfo=zone)).astimezone(UTC)

    return local


def next_due(now: datetime, at: time, local: Local) -> datetime:
    """The next moment, after ``now`` (aware, local), at which a clock shows ``at``."""
    days = (now.date() + timedelta(days=n) for n in range(3))
    moments = (local(datetime.combine(day, at)) for day in days)
    return next(moment for moment in moments if moment > now)
