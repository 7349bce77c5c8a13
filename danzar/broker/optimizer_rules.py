"""What the owner wrote under ``optimizer``, in the words of the core. Pure."""

from danzar.config.settings import Config
from danzar.core.batching import BatchRules, Strategy
from danzar.core.upkeep import UpkeepRules
from danzar.units import MIB


def batch_rules(config: Config) -> BatchRules | None:
    """How batches follow the memory; ``None`` where they do not."""
    optimizer = config.vram.optimizer
    if not optimizer.enabled:
        return None
    return BatchRules(
        strategy=Strategy(optimizer.strategy.value),
        min_batch=optimizer.min_batch_size,
        max_batch=optimizer.max_batch_size,
        reserve_bytes=optimizer.memory_reserve_mb * MIB,
        warning_share=optimizer.memory_threshold_warning,
        critical_share=optimizer.memory_threshold_critical,
        oom_share=optimizer.memory_threshold_oom,
        hot_c=optimizer.temperature_threshold,
        interval_s=optimizer.optimization_interval,
    )


def upkeep_rules(config: Config) -> UpkeepRules:
    """When memory that nothing uses is given back."""
    optimizer = config.vram.optimizer
    return UpkeepRules(
        enabled=optimizer.enabled,
        gc_share=optimizer.gc_threshold,
        fragmentation=optimizer.fragmentation_threshold,
        oom_share=optimizer.memory_threshold_oom,
        interval_s=optimizer.optimization_interval,
        cleanup_interval_s=optimizer.cleanup_interval,
    )
