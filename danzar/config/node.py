"""``node`` in ``bot_config.yaml``: this machine among those that share a queue."""

import re
import socket

from pydantic import Field, model_validator

from danzar.config.base import KeyProblem, PositiveSeconds, Seconds, Settings, must_be

_NAME = r"^[a-z0-9][a-z0-9_-]{0,31}$"
_NAME_FORM = "1 to 32 small letters, digits, hyphens and underscores, a letter or digit first"
_LONGEST_NAME = 32
_UNNAMED = "danzar"
_BEATS_BEFORE_LOST = 2


class NodeSettings(Settings):
    """How this machine presents itself to others, and when it takes work from them."""

    name: str | None = Field(
        None,
        pattern=_NAME,
        json_schema_extra=must_be(_NAME_FORM),
        description="What others call this machine; null is its host name.",
    )
    heartbeat_s: PositiveSeconds = Field(
        10.0, le=3600, description="Seconds between two signs of life."
    )
    failure_after_s: PositiveSeconds = Field(
        30.0, le=86_400, description="Without a sign of life for so long, this machine is lost."
    )
    head_start_s: Seconds = Field(
        2.0, le=3600, description="Head start that a better machine has with a waiting job."
    )
    remembered_s: PositiveSeconds = Field(
        86_400.0, le=31_536_000, description="How long a lost machine is still shown."
    )
    preload: bool = Field(
        False, description="Whether `danzar node` loads the roles' models at its start."
    )

    @model_validator(mode="after")
    def missed_twice(self) -> "NodeSettings":
        """One late sign of life does not make a machine lost."""
        least = _BEATS_BEFORE_LOST * self.heartbeat_s
        if self.failure_after_s < least:
            raise KeyProblem(
                ("failure_after_s",),
                f"is {self.failure_after_s:g}; allowed: at least twice heartbeat_s ({least:g})",
            )
        return self


def node_name(settings: NodeSettings) -> str:
    """What others call this machine: as configured, else its host name made fit for it."""
    if settings.name is not None:
        return settings.name
    fit = re.sub(r"[^a-z0-9_-]+", "-", socket.gethostname().lower()).strip("-_")
    return fit[:_LONGEST_NAME] or _UNNAMED
