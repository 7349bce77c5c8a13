"""``imagine`` in ``bot_config.yaml``: what people may ask for when pictures are made."""

from pydantic import Field

from danzar.config.base import Settings


class ImagineSettings(Settings):
    """Limits of ``!imagine`` and ``!animate``; the models are ``use.imagine`` and ``use.video``."""

    max_side: int = Field(2048, ge=64, le=8192, description="Longest side of a picture, pixels.")
    max_count: int = Field(4, ge=1, le=8, description="Pictures of one request.")
    max_steps: int = Field(100, ge=1, le=150, description="Steps of denoising.")
    max_seconds: float = Field(10.0, gt=0, le=120, description="Longest video.")
    max_prompt: int = Field(1000, ge=1, le=4000, description="Longest prompt, characters.")
    per_person: int = Field(2, ge=1, le=100, description="Requests of one person at once.")
    per_channel: int = Field(4, ge=1, le=100, description="Requests of one channel at once.")
    progress_interval_s: float = Field(
        2.0, ge=1.0, le=60, description="Seconds between edits of the progress."
    )
    preview_interval_s: float | None = Field(
        4.0, ge=2.0, le=600, description="Seconds between previews; null shows none."
    )
    wait_for_room_s: float = Field(
        600.0, ge=0, le=86_400, description="How long Wait waits for room on a card."
    )
    metadata: bool = Field(
        True, description="Write prompt, seed, size, steps and model into the PNG file."
    )
    blocked_words: tuple[str, ...] = Field(
        (), description="Prompts with one of these words are refused."
    )
    channels: tuple[str, ...] = Field(
        (), description="Names or ids of the channels where it may be used; empty: everywhere."
    )
    role: str | None = Field(None, description="Role that may use it; null: everyone.")
    require_nsfw_channel: bool = Field(
        False, description="Only in channels that are marked as age-restricted."
    )
