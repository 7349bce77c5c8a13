"""The section ``logs`` of ``bot_config.yaml``: what is kept of the log."""

from typing import Literal

from pydantic import Field, field_validator

from danzar.config.base import Settings, Size, must_be
from danzar.units import MIB

_SMALLEST_BYTES = 1 * MIB


class LogSettings(Settings):
    """The log of `danzar run`, `serve` and `node` (docs/maintenance.md)."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="What is less grave is not logged."
    )
    max_size: Size = Field(
        50 * MIB, description="All files of the log together; at least 1 MiB. The oldest go."
    )
    files: int = Field(5, ge=2, le=100, description="Files that the log is spread over.")
    console: Literal["text", "json"] = Field(
        "text", description="Lines for people, or JSON as in the files, which containers want."
    )

    @field_validator("max_size")
    @classmethod
    def is_useful(cls, value: int) -> int:
        """There is room for a few lines."""
        if value < _SMALLEST_BYTES:
            raise ValueError("must be at least 1 MiB")
        return value


class MaintenanceSettings(Settings):
    """Backups that are made by themselves (docs/maintenance.md)."""

    backup_at: str | None = Field(
        None,
        pattern=r"^([01]\d|2[0-3]):[0-5]\d$",
        json_schema_extra=must_be('a time of day, "HH:MM" in quotes, for example "04:30"'),
        description="Time of day, HH:MM in quotes, of a daily backup; null makes none.",
    )
    keep_backups: int = Field(7, ge=1, le=1000, description="Daily backups that are kept.")
