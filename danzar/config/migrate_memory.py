"""Three smaller files: thresholds on two machines, a batch optimizer's, and vision settings."""

from pydantic import Field

from danzar.config.base import Fraction, PositiveSeconds, Settings
from danzar.config.migrate_rule import Program, Rule, gone, mib, percent, rule_key, to
from danzar.config.optimizer import MemoryConfig
from danzar.config.schema import paths
from danzar.config.vision import VisionConfig


class _Thresholds(Settings):
    """Shares of a card in use."""

    critical: Fraction = 0.85
    warning: Fraction = 0.75
    safe: Fraction = 0.5


class StartupConfig(Settings):
    """``startup_config.yaml``: the VRAM optimizer over a main PC and a second one."""

    vram_thresholds: _Thresholds = _Thresholds()
    mainpc_vram_budget_mb: int = Field(20_000, gt=0)
    pc2_vram_budget_mb: int = Field(10_000, gt=0)
    idle_timeout: PositiveSeconds = 900.0
    idle_check_interval: PositiveSeconds = 60.0
    defragmentation_threshold: Fraction = 0.7
    optimization_interval: int = Field(300, ge=1)
    predictive_loading_enabled: bool = True
    lookahead_window: PositiveSeconds = 300.0
    prediction_window: PositiveSeconds = 3600.0


_STARTUP = {
    "vram_thresholds.critical": to("vram.pressure.critical_pct", percent),
    "vram_thresholds.warning": to("vram.pressure.warning_pct", percent),
    "vram_thresholds.safe": gone("a card below warning_pct is safe; there is no mark of its own"),
    "mainpc_vram_budget_mb": to("vram.devices.cuda:0.limit", mib),
    "pc2_vram_budget_mb": gone(
        "belongs to the second machine: vram.devices.cuda:0.limit in its own settings, or "
        "`danzar node --budget` there"
    ),
    "idle_timeout": to("vram.placement.keep_alive_s"),
    "idle_check_interval": gone("checked with every reading (vram.telemetry.sample_interval_s)"),
    "defragmentation_threshold": to("vram.optimizer.fragmentation_threshold"),
    "optimization_interval": to("vram.optimizer.optimization_interval"),
    "predictive_loading_enabled": to("vram.prediction.enabled"),
    "lookahead_window": to("vram.prediction.lookahead_s"),
    "prediction_window": to("vram.prediction.window_s"),
}


def _same(model: type[Settings], section: str) -> dict[str, Rule]:
    """Every key has the same name here."""
    keys = [rule_key(path) for path in paths(model)]
    return {key: to(f"{section}.{key}") for key in keys}


STARTUP = Program(
    "the VRAM optimizer over two machines", "startup_config.yaml", StartupConfig, _STARTUP
)
MEMORY = Program(
    "the VLM memory optimizer",
    "config.json (MemoryConfig)",
    MemoryConfig,
    _same(MemoryConfig, "vram.optimizer"),
)
VISION = Program("DanzarAI", "vision_config.yaml", VisionConfig, _same(VisionConfig, "vision"))
