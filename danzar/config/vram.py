"""``vram_config.yaml``: telemetry, levels, margins and the workers' patience."""

from typing import Literal

from pydantic import Field, model_validator

from danzar.config.base import KeyProblem, PositiveSeconds, Settings, Size
from danzar.units import GIB, MIB


class SimulatedCard(Settings):
    """One invented card; labelled ``simulated`` wherever it shows."""

    name: str
    memory: Size = Field(description="Capacity, for example 12 GiB.")


SEED_CARDS = (
    SimulatedCard(name="NVIDIA GeForce RTX 4070", memory=12 * GIB),
    SimulatedCard(name="NVIDIA GeForce RTX 4070 SUPER", memory=12 * GIB),
)


class TelemetrySettings(Settings):
    """Where figures come from."""

    mode: Literal["auto", "nvml", "simulated", "none"] = Field(
        "auto", description="auto: the driver where there is one, else the CPU alone."
    )
    simulate_when_absent: bool = Field(
        False, description="With mode auto and no card: simulate cards instead (the demo does)."
    )
    simulated_cards: tuple[SimulatedCard, ...] = SEED_CARDS
    sample_interval_s: PositiveSeconds = 1.0
    timeout_s: PositiveSeconds = Field(5.0, description="A driver silent for this long is absent.")


class MonitorSettings(Settings):
    """When a device is called full, and how long its history is."""

    warning_pct: float = Field(90.0, gt=0, le=100, description="Warn above this memory use.")
    clear_pct: float = Field(85.0, gt=0, le=100, description="All clear below this.")
    low_free: Size = Field(1 * GIB, description="Warn below this much free memory.")
    history_s: PositiveSeconds = Field(3600.0, description="How far back `!gpu log` can look.")

    @model_validator(mode="after")
    def clear_below_warning(self) -> "MonitorSettings":
        """Hysteresis needs a gap."""
        if self.clear_pct > self.warning_pct:
            message = f"is {self.clear_pct:g}; allowed: at most warning_pct ({self.warning_pct:g})"
            raise KeyProblem(("clear_pct",), message)
        return self


class PlacementSettings(Settings):
    """What the planner leaves alone."""

    margin: Size = Field(256 * MIB, description="Left free on every GPU, beyond reservations.")
    host_margin: Size = Field(1 * GIB, description="Left free in host RAM.")
    keep_alive_s: PositiveSeconds = Field(
        900.0, description="A model idle for this long is unloaded."
    )
    preload: bool = Field(
        True, description="Load the models at start where they fit without evicting anything."
    )
    max_queue: int = Field(16, ge=1, le=10_000, description="Requests that may wait per model.")


class WorkerSettings(Settings):
    """How long a worker may take before it counts as failed."""

    ready_timeout_s: PositiveSeconds = 60.0
    load_timeout_s: PositiveSeconds = 300.0
    heartbeat_timeout_s: PositiveSeconds = 30.0
    part_timeout_s: PositiveSeconds = Field(
        30.0,
        description="Longest silence in a request: no part, no sign of computing.",
    )
    stop_timeout_s: PositiveSeconds = Field(10.0, description="From SIGTERM to SIGKILL.")
    threads: int = Field(0, ge=0, description="Threads of CPU inference; 0 means all cores.")


class VramConfig(Settings):
    """The whole of ``vram_config.yaml``."""

    telemetry: TelemetrySettings = TelemetrySettings()
    monitor: MonitorSettings = MonitorSettings()
    placement: PlacementSettings = PlacementSettings()
    workers: WorkerSettings = WorkerSettings()
