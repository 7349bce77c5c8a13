from pathlib import Path

import pytest

from danzar.config.bot import BotConfig
from danzar.config.models import ModelsConfig, RoleChoice
from danzar.config.profile import Profile
from danzar.config.settings import Config

PROFILE = Profile.model_validate(
    {
        "title": "Doom",
        "concepts": ["an enemy ahead", "an empty corridor", "a boss fight"],
        "hud": {
            "ammo": {"region": (0.0, 0.8, 0.2, 1.0), "pattern": r"(\d{1,3})"},
            "health": {"region": (0.2, 0.8, 0.5, 1.0), "pattern": r"(\d{1,3})\s*%?"},
        },
        "rules": [
            {
                "name": "low health",
                "when": {"kind": "hud_below", "field": "health", "below": 40},
                "frames": 2,
                "cooldown_s": 60,
                "message": "Health is low!",
            },
            {
                "name": "boss",
                "when": {"kind": "seen", "label": "boss", "confidence": 0.3},
                "frames": 1,
                "message": "A boss!",
            },
        ],
    }
)


def config_of(root: Path, **bot) -> Config:
    """A config whose roles are called detect, rank, read and media."""
    return Config(
        root=root,
        bot=BotConfig(profiles={"doom": PROFILE}, **bot),
        models=ModelsConfig(
            use=RoleChoice(chat="chat", detect="detect", rank="rank", read="read", media="media")
        ),
    )


@pytest.fixture
def config(tmp_path) -> Config:
    return config_of(tmp_path)
