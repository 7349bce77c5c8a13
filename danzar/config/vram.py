"""``vram_config.yaml``: telemetry, alerts, placement, pressure, devices, workers' patience."""

import itertools
import re
from typing import Literal

from pydantic import Field, model_validator

from danzar.config.base import (
    DEVICE_FORM,
    DEVICE_PATTERN,
    Fraction,
    KeyProblem,
    Percent,
    PositiveSeconds,
    Seconds,
    Settings,
    Size,
)
from danzar.config.optimizer import MemoryConfig
from danzar.config.prediction import PredictionSettings
from danzar.config.warm import WarmSettings
from danzar.units import GIB, MIB


def _check_rising(settings: Settings, keys: tuple[str, ...]) -> None:
    """Each of these that is set is above those before it.

    Raises:
        KeyProblem: One is not.
    """
    marks = [(key, getattr(settings, key)) for key in keys]
    marks = [(key, mark) for key, mark in marks if mark is not None]
    for (lower, low), (key, mark) in itertools.pairwise(marks):
        if mark <= low:
            raise KeyProblem((key,), f"is {mark:g}; allowed: above {lower} ({low:g})")


class SimulatedCard(Settings):
    """One invented card; labelled ``simulated`` wherever it shows."""

    name: str = Field(description="What the card calls itself.")
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
    simulated_cards: tuple[SimulatedCard, ...] = Field(
        SEED_CARDS, description="The invented cards; marked simulated wherever they show."
    )
    sample_interval_s: PositiveSeconds = Field(1.0, description="Seconds between two readings.")
    timeout_s: PositiveSeconds = Field(5.0, description="A driver silent for this long is absent.")


class MonitorSettings(Settings):
    """When people are told that a device is full, and how long its history is."""

    warning_pct: Percent = Field(90.0, description="Warn above this memory use.")
    clear_pct: Percent = Field(85.0, description="All clear below this.")
    critical_pct: Percent | None = Field(None, description="Call it critical above this.")
    oom_pct: Percent | None = Field(None, description="Call it out of memory above this.")
    low_free: Size = Field(1 * GIB, description="Critical below this much free memory.")
    hold_s: Seconds = Field(0.0, description="How long a figure must be beyond a mark.")
    temperature_c: float = Field(80.0, gt=0, le=150, description="Warn when a card is this hot.")
    history_s: PositiveSeconds = Field(3600.0, description="How far back `!gpu log` can look.")

    @model_validator(mode="after")
    def clear_below_warning(self) -> "MonitorSettings":
        """Hysteresis needs a gap."""
        if self.clear_pct > self.warning_pct:
            message = f"is {self.clear_pct:g}; allowed: at most warning_pct ({self.warning_pct:g})"
            raise KeyProblem(("clear_pct",), message)
        _check_rising(self, ("warning_pct", "critical_pct", "oom_pct"))
        return self


class PlacementSettings(Settings):
    """What the planner leaves alone, who makes room, and how long a request is patient."""

    policy: Literal["cost", "lru", "largest", "priority"] = Field(
        "cost", description="Which idle model makes room for another."
    )
    min_residence_s: Seconds = Field(
        20.0, description="A model loaded less than this long ago is not evicted for another."
    )
    patience_s: Seconds = Field(
        3.0, description="A request waits this long for busy models before it is served worse."
    )
    drain_after_s: Seconds = Field(
        10.0, description="After this wait, busy models finish what they do and make room."
    )
    min_layer_share: Fraction = Field(
        0.25, description="With fewer of its layers on a card, a model runs on the CPU instead."
    )
    margin: Size = Field(256 * MIB, description="Left free on every GPU, beyond reservations.")
    host_margin: Size = Field(1 * GIB, description="Left free in host RAM.")
    keep_alive_s: PositiveSeconds = Field(
        900.0, description="A model idle for this long is unloaded."
    )
    preload: bool = Field(
        True, description="Load the models at start where they fit without evicting anything."
    )
    max_queue: int = Field(16, ge=1, le=10_000, description="Requests that may wait per model.")


class PressureSettings(Settings):
    """When models make way for other programs, and when they come back."""

    warning_pct: Percent = Field(75.0, description="Idle models leave above this memory use.")
    critical_pct: Percent = Field(
        85.0, description="Busy ones finish and leave, too, above this, the largest first."
    )
    oom_pct: Percent = Field(95.0, description="The next allocation fails above this.")
    gap_pct: Percent = Field(5.0, description="A level ends this far below its mark.")
    hold_s: Seconds = Field(1.0, description="How long a figure must be beyond a mark.")
    growth: Size = Field(
        256 * MIB, description="Other programs must have grown by this much to be made way for."
    )
    calm_s: Seconds = Field(10.0, description="Seconds of room before a model comes back.")
    move_interval_s: Seconds = Field(
        60.0, description="A model is moved at most once in this time."
    )
    drain_busy: bool = Field(True, description="Whether busy models leave at the critical level.")

    @model_validator(mode="after")
    def levels_rise(self) -> "PressureSettings":
        """Each level is above the one before, and hysteresis ends above nothing."""
        _check_rising(self, ("gap_pct", "warning_pct", "critical_pct", "oom_pct"))
        return self


class BoundsSettings(Settings):
    """How long a request of each class should wait at most, seconds."""

    chat: PositiveSeconds = Field(30.0, description="A person waits for words.")
    vision: PositiveSeconds = Field(45.0, description="A person waits for what a picture shows.")
    picture: PositiveSeconds = Field(120.0, description="A person waits for one to be made.")
    watch: PositiveSeconds = Field(90.0, description="A frame of a watch.")
    job: PositiveSeconds = Field(600.0, description="Work in the background.")


class QueueSettings(Settings):
    """In which order requests wait, and how many of one person may."""

    bounds_s: BoundsSettings = BoundsSettings()
    max_per_person: int = Field(
        8, ge=1, le=10_000, description="Requests of one person and class that may wait per model."
    )


class DeviceSettings(Settings):
    """What Danzar may take of one device, and what it keeps free there."""

    limit: Size | None = Field(None, description="The most that Danzar may lease there.")
    reserve: Size = Field(0, description="Kept free for other programs, games above all.")


class WorkerSettings(Settings):
    """How long a worker may take before it counts as failed."""

    ready_timeout_s: PositiveSeconds = Field(
        60.0, description="From the start of a process until it must answer."
    )
    load_timeout_s: PositiveSeconds = Field(
        300.0, description="The longest that loading one model may take."
    )
    heartbeat_timeout_s: PositiveSeconds = Field(
        30.0, description="A worker that is silent for so long counts as hung, and is replaced."
    )
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
    pressure: PressureSettings = PressureSettings()
    queue: QueueSettings = QueueSettings()
    devices: dict[str, DeviceSettings] = Field(
        default_factory=dict, description="By cuda:N, a GPU's UUID, or cpu (host RAM)."
    )
    workers: WorkerSettings = WorkerSettings()
    optimizer: MemoryConfig = MemoryConfig()
    warm: WarmSettings = WarmSettings()
    prediction: PredictionSettings = PredictionSettings()

    @model_validator(mode="after")
    def busy_models_leave_in_time(self) -> "VramConfig":
        """Busy models make room before the most urgent class has waited for its whole bound."""
        bounds_s = self.queue.bounds_s.model_dump()
        first = min(bounds_s, key=lambda name: bounds_s[name])
        wait_s, bound_s = self.placement.drain_after_s, bounds_s[first]
        if wait_s >= bound_s:
            message = f"is {bound_s:g}; allowed: above placement.drain_after_s ({wait_s:g})"
            raise KeyProblem(("queue", "bounds_s", first), message)
        return self

    @model_validator(mode="after")
    def devices_are_devices(self) -> "VramConfig":
        """Each name under ``devices`` could be a device."""
        for name in self.devices:
            if re.match(DEVICE_PATTERN, name) is None:
                raise KeyProblem(("devices", name), f"is no device; allowed: {DEVICE_FORM}")
        return self
