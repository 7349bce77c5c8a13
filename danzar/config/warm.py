"""``warm`` in ``vram_config.yaml``: what stays in host RAM so that models come back sooner."""

from pydantic import Field

from danzar.config.base import Settings, Size
from danzar.units import GIB


class WarmSettings(Settings):
    """The most that may be kept, and of what kind."""

    budget: Size = Field(
        2 * GIB,
        description="The most that kept weights and the standby take together; 0: off.",
    )
    standby: bool = Field(
        True, description="Keep a process in which the vision engine's libraries are imported."
    )
    page_cache: Size = Field(
        8 * GIB,
        description="The most that the page cache keeps of unloaded GGUF models (Linux).",
    )
