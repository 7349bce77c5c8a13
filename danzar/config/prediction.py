"""``prediction`` in ``vram_config.yaml``: loading models before they are asked for."""

from pydantic import Field

from danzar.config.base import Fraction, PositiveSeconds, Settings, Size
from danzar.core.prediction import PredictionRules
from danzar.units import MIB


class PredictionSettings(Settings):
    """When models are loaded before they are asked for."""

    enabled: bool = Field(True, description="Whether models are loaded ahead of their use.")
    lookahead_s: PositiveSeconds = Field(
        300.0, description="How far ahead of its expected use a model is loaded."
    )
    window_s: PositiveSeconds = Field(
        3600.0, description="How long a model that was loaded ahead may wait to be used."
    )
    min_probability: Fraction = Field(
        0.3, description="Models less likely to be used than this are not loaded ahead."
    )
    max_wasted: Fraction = Field(
        0.15, description="The share of loads in vain that is aimed at; it steers what is risked."
    )
    cushion: Size = Field(
        512 * MIB, description="Left free on every device by loads ahead, beyond all else."
    )


def prediction_rules(settings: PredictionSettings) -> PredictionRules:
    """The same in the words of the core."""
    return PredictionRules(
        enabled=settings.enabled,
        lookahead_s=settings.lookahead_s,
        window_s=settings.window_s,
        min_probability=settings.min_probability,
        max_wasted=settings.max_wasted,
        cushion_bytes=settings.cushion,
    )
