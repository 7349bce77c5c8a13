"""What one check of the doctor found."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warn", "fail"]
OK: Level = "ok"
WARN: Level = "warn"
FAIL: Level = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One result.

    Attributes:
        level: ``warn`` is for what works less well than it could.
        remedy: What to type or click; empty where nothing is to be done.
    """

    level: Level
    name: str
    text: str
    remedy: str = ""

    def to_json(self) -> dict[str, str | None]:
        """As in docs/json.md."""
        return {
            "level": self.level,
            "name": self.name,
            "text": self.text,
            "remedy": self.remedy or None,
        }
