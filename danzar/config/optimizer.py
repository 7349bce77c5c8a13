"""``optimizer`` in ``vram_config.yaml``: the fields and defaults of the seed's ``MemoryConfig``.

The names keep the seed's form; shares are fractions (0.8 is 80 %), ``_mb`` means MiB, intervals
are seconds. The ledger's safety is none of these: it can't be switched off.
"""

import itertools

from pydantic import Field, model_validator

from danzar.config.base import KeyProblem, Settings
from danzar.core.batching import Strategy

_RISING = ("memory_threshold_warning", "memory_threshold_critical", "memory_threshold_oom")
_LONGEST_S = 86_400
_LARGEST_BATCH = 64  # pictures that may wait for a vision model


# The seed's name of it.
MemoryOptimizationStrategy = Strategy


class MemoryConfig(Settings):
    """What the optimizer goes by; all of it may change while Danzar runs."""

    enabled: bool = Field(
        True, description="False: batches stay at watch.batch_size, and nothing is trimmed."
    )
    strategy: Strategy = Field(
        Strategy.BALANCED,
        description="conservative (x0.7 of the batch that fits), balanced, aggressive (x1.2) or "
        "adaptive (follows the card's load).",
    )
    monitoring_interval: int = Field(
        5, ge=1, le=_LONGEST_S, description="Seconds between two looks at the cards."
    )
    memory_threshold_warning: float = Field(
        0.8, gt=0, le=1, description="Above this share of a card in use, batches grow half as fast."
    )
    memory_threshold_critical: float = Field(
        0.9, gt=0, le=1, description="Above this share, batches shrink."
    )
    memory_threshold_oom: float = Field(
        0.95, gt=0, le=1, description="Above this share, batches are as small as they may be."
    )
    temperature_threshold: float = Field(
        80.0, gt=0, le=150, description="At this many degrees Celsius, batches shrink."
    )
    optimization_interval: int = Field(
        60, ge=1, le=_LONGEST_S, description="Seconds between two changes of a batch size."
    )
    cleanup_interval: int = Field(
        300, ge=1, le=_LONGEST_S, description="Seconds between two clean-ups of cached memory."
    )
    max_batch_size: int = Field(
        16, ge=1, le=_LARGEST_BATCH, description="Pictures in one batch, at most."
    )
    min_batch_size: int = Field(
        1, ge=1, le=_LARGEST_BATCH, description="Pictures in one batch where memory is short."
    )
    memory_reserve_mb: int = Field(
        1024, ge=0, le=1_048_576, description="MiB of a card that batches leave free."
    )
    gc_threshold: float = Field(
        0.85, gt=0, le=1, description="Above this share in use, cached memory is given back."
    )
    fragmentation_threshold: float = Field(
        0.3, gt=0, le=1, description="Above this share of torch's memory unused, it is given back."
    )

    @model_validator(mode="after")
    def in_order(self) -> "MemoryConfig":
        """Thresholds rise, and the smallest batch is not above the largest."""
        for lower, key in itertools.pairwise(_RISING):
            low, mark = getattr(self, lower), getattr(self, key)
            if mark <= low:
                raise KeyProblem((key,), f"is {mark:g}; allowed: above {lower} ({low:g})")
        if self.min_batch_size > self.max_batch_size:
            allowed = f"at most max_batch_size ({self.max_batch_size})"
            raise KeyProblem(("min_batch_size",), f"is {self.min_batch_size}; allowed: {allowed}")
        return self
