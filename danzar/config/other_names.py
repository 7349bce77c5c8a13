"""Keys as other programs of this kind call them, and what they are called here."""

from danzar.config.base import Settings
from danzar.config.models import ModelsConfig
from danzar.config.vram import VramConfig

_DEVICES = "here it is under devices, for example devices: {cuda:0: {limit: 20000 MiB}}"
_READINGS = "every reading is checked; here it is telemetry.sample_interval_s"
_VRAM = {
    "vram_thresholds": (
        "here it is pressure, in percent: warning: 0.75 is warning_pct: 75, critical: 0.85 is "
        "critical_pct: 85; a card below warning_pct is safe"
    ),
    "mainpc_vram_budget_mb": _DEVICES,
    "pc2_vram_budget_mb": _DEVICES,
    "predictive_loading_enabled": "here it is prediction.enabled",
    "lookahead_window": "here it is prediction.lookahead_s (seconds)",
    "prediction_window": "here it is prediction.window_s (seconds)",
    "total_mb": f"the driver says it; to use less, {_DEVICES}",
    "idle_timeout": "here it is placement.keep_alive_s (seconds)",
    "idle_check_interval": _READINGS,
    "monitoring_interval_seconds": _READINGS,
    "safety_margin_mb": "here it is placement.margin, for example 512 MiB",
    "heartbeat_timeout_seconds": "here it is workers.heartbeat_timeout_s",
    "worker_ready_timeout_seconds": "here it is workers.ready_timeout_s",
    "graceful_shutdown_timeout_seconds": "here it is workers.stop_timeout_s",
}
_MODELS = {
    "name": "a model's name is the key that its entry stands under: models: {NAME: {...}}",
    "type": "here it is backend and role: type: llm is backend: llama with role: chat",
    "model_path": "here it is path",
    "vram_mb": "here it is memory: vram_mb: 5000 is memory: 5000 MiB",
    "config": "here it is settings",
}
_BY_FILE: dict[type[Settings], dict[str, str]] = {VramConfig: _VRAM, ModelsConfig: _MODELS}


def elsewhere_called(model: type[Settings], key: str) -> str | None:
    """What an unknown key of another program is in this file; ``None``: it is none of those."""
    return _BY_FILE.get(model, {}).get(key)
