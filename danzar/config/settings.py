"""The four files as one value, which everything above is built from."""

from pathlib import Path

from danzar.config.base import Settings
from danzar.config.bot import BotConfig
from danzar.config.models import ModelsConfig
from danzar.config.profile import Profile
from danzar.config.vision import VisionConfig
from danzar.config.vram import VramConfig


class Config(Settings):
    """All settings.

    Attributes:
        root: Folder that relative paths in the files start from (``load.root_folder``).
        folder: Where the four files are; ``None`` where there are only defaults.
    """

    root: Path
    folder: Path | None = None
    bot: BotConfig = BotConfig()
    vision: VisionConfig = VisionConfig()
    vram: VramConfig = VramConfig()
    models: ModelsConfig = ModelsConfig()

    @property
    def active_profile(self) -> Profile:
        """The profile that ``bot.profile`` names."""
        return self.bot.profiles[self.bot.profile]
