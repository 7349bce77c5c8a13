"""``alerts`` in ``bot_config.yaml``: when people are told of troubles, and the daily digest."""

from datetime import time
from typing import Annotated

from pydantic import BeforeValidator, Field

from danzar.config.base import Seconds, Settings, must_be

_TIME = r"^([01]?\d|2[0-3]):[0-5]\d$"
_MINUTES_A_DAY = 24 * 60


def _clock(value: object) -> object:
    # YAML 1.1 reads an unquoted 10:30 as a number to base 60.
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MINUTES_A_DAY:
        return f"{value // 60:02}:{value % 60:02}"
    return value


TimeOfDay = Annotated[
    str,
    BeforeValidator(_clock),
    Field(pattern=_TIME, json_schema_extra=must_be("a time of day such as 09:00")),
]


class AlertSettings(Settings):
    """Incidents and the digest. Where they are posted is under ``discord``."""

    tell_after_s: Seconds = Field(
        10.0, le=3600, description="Trouble that has lasted so long is told; 0 tells it at once."
    )
    calm_s: Seconds = Field(
        60.0, le=3600, description="It must have been calm for so long before an incident is over."
    )
    reopen_s: Seconds = Field(
        900.0,
        le=86_400,
        description="Trouble so soon after its end is the same incident, in the same message.",
    )
    edit_interval_s: float = Field(
        5.0, ge=1, le=600, description="Between two edits of an incident's message, at least."
    )
    queue_waiting: int = Field(
        8,
        ge=1,
        le=100_000,
        description="Told when more requests than this wait for a model for queue_s.",
    )
    queue_s: Seconds = Field(
        120.0, le=86_400, description="How long a queue must have been too long to be told."
    )
    drift_ratio: float = Field(
        0.25,
        gt=0,
        le=10,
        description="Told when a load took so much more or less than was booked; 0.25 is 25 %.",
    )
    keep_days: float = Field(90.0, gt=0, le=3650, description="Closed incidents are kept so long.")
    keep: int = Field(1000, ge=1, le=100_000, description="Closed incidents that are kept at most.")
    digest_at: TimeOfDay | None = Field(
        "09:00", description="Local time of the daily digest, in quotes; null sends none."
    )

    @property
    def digest_time(self) -> time | None:
        """``digest_at`` as a time."""
        if self.digest_at is None:
            return None
        hour, minute = self.digest_at.split(":")
        return time(int(hour), int(minute))
