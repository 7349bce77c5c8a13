"""Game profiles: what to look for, where the display's numbers are, and when to raise an alert."""

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from danzar.config.base import Fraction, PositiveSeconds, Region, Settings

HudName = Literal["health", "armor", "ammo"]


class HudField(Settings):
    """One number on the game's display."""

    region: Region
    pattern: str = Field(r"(\d{1,3})", description="Regular expression; group 1 is the number.")
    minimum: int = Field(0, description="A smaller number is not believed.")
    maximum: int = Field(200, description="A larger number is not believed.")

    @field_validator("pattern")
    @classmethod
    def pattern_compiles(cls, pattern: str) -> str:
        """The pattern is a regular expression with a group."""
        try:
            compiled = re.compile(pattern)
        except re.error as exc:
            raise ValueError(f"is no regular expression: {exc}") from exc
        if compiled.groups < 1:
            raise ValueError("needs one group around the number, as in (\\d{1,3})")
        return pattern


class SeenCondition(Settings):
    """A label is detected."""

    kind: Literal["seen"] = Field(description="An object is detected.")
    label: str = Field(description="One of `yolo.classes`.")
    confidence: Fraction = Field(0.5, description="How sure the detector must be.")


class HudCondition(Settings):
    """A number on the display is below a limit. A number not read never counts."""

    kind: Literal["hud_below"] = Field(description="A number that was read is below a limit.")
    field: HudName = Field(description="One of the numbers under `hud`.")
    below: int = Field(description="The limit.")


class ConceptCondition(Settings):
    """A concept describes the picture well."""

    kind: Literal["concept_above"] = Field(description="A concept fits the picture.")
    concept: str = Field(description="One of `concepts`.")
    above: Fraction = Field(description="How well it must fit.")


Condition = Annotated[SeenCondition | HudCondition | ConceptCondition, Field(discriminator="kind")]


class RuleSettings(Settings):
    """When to raise an alert."""

    name: str = Field(min_length=1, max_length=80, description="What the rule is called.")
    when: Condition = Field(description="What must be so.")
    frames: int = Field(3, ge=1, le=1000, description="Consecutive frames that must agree.")
    cooldown_s: PositiveSeconds = Field(60.0, description="Silence after an alert of this rule.")
    message: str = Field(max_length=500, description="What the alert says.")


class Profile(Settings):
    """One game."""

    title: str = Field(description="What the game is called.")
    persona: str = Field("", max_length=4000, description="Added to the bot's persona.")
    concepts: tuple[str, ...] = Field(
        (), max_length=200, description="What CLIP tells apart in a picture; short descriptions."
    )
    hud: dict[HudName, HudField] = Field(
        default_factory=dict, description="Numbers on the display: health, armor, ammo."
    )
    rules: tuple[RuleSettings, ...] = Field((), description="When to raise an alert.")
