"""What a file says of devices, models and rules: the schema of ``--devices FILE``."""

from typing import Literal

from pydantic import Field, model_validator

from danzar.config.base import KeyProblem, PositiveSeconds, Settings, Size
from danzar.config.prediction import PredictionSettings
from danzar.core.eviction import POLICIES
from danzar.core.variant import Rung
from danzar.units import GIB, MIB

Seconds = float
StepDown = Literal["batch", "slots", "kv", "context"]


class DescribedCard(Settings):
    """One GPU; ``cuda:N`` by its place in the list."""

    name: str = "described card"
    memory: Size = Field(description="Capacity, for example 12 GiB.")
    foreign: Size = Field(0, description="Held by other programs all the time.")


class DescribedHost(Settings):
    """Host RAM."""

    memory: Size = 32 * GIB
    foreign: Size = Field(8 * GIB, description="Held by other programs all the time.")


class DescribedReservation(Settings):
    """Bytes kept free for a purpose on one card."""

    device: str
    purpose: str
    size: Size


class DescribedVariant(Settings):
    """A way to load a model with less than it wants."""

    rung: StepDown
    size: Size
    loss: str = Field("", description="What a person loses, for the answer's footer.")


class LoadedNow(Settings):
    """A model that is on a card already; only ``danzar plan`` looks at this."""

    device: str
    idle_s: Seconds = Field(60.0, ge=0)
    loaded_s: Seconds = Field(600.0, ge=0, description="Seconds since it was loaded.")
    in_flight: int = Field(0, ge=0)
    use_probability: float = Field(0.5, ge=0, le=1, description="Of a use within two minutes.")


class DescribedModel(Settings):
    """One model: what it takes, how long it takes, how it is treated."""

    purpose: str = "chat"
    worker: str | None = Field(None, description="Process it shares; null: its own.")
    size: Size = Field(description="On a GPU as configured, without the CUDA context.")
    measured: Size | None = Field(None, description="What it really takes; null: its size.")
    context: Size = Field(300 * MIB, description="CUDA context of a new process.")
    host: Size | None = Field(None, description="In host RAM on the CPU; null: its size.")
    process: Size = Field(200 * MIB, description="Host RAM of a new process.")
    variants: tuple[DescribedVariant, ...] = ()
    layers: int | None = Field(None, ge=2, description="Whole layers; null: can't be divided.")
    fixed: Size = Field(256 * MIB, description="Per card, when divided over layers.")
    devices: tuple[str, ...] = Field((), description="cuda:N to try first, best first.")
    cpu: bool = Field(True, description="Whether it may run on the CPU.")
    slots: int = Field(1, ge=1)
    priority: int = 0
    pinned: bool = False
    protected: bool = False
    fallback: str | None = None
    load_rate: Size = Field(1 * GIB, gt=0, description="Bytes read in a second of loading.")
    load_s: Seconds = Field(1.0, ge=0, description="Seconds of each load besides the reading.")
    request_s: PositiveSeconds = Field(2.0, description="Where the trace does not say.")
    popularity: float | None = Field(
        None, gt=0, description="How often it is asked for, beside the others; null: the seed says."
    )
    first_s: Seconds = Field(0.3, ge=0, description="From a request's start to its first part.")
    cpu_slowdown: float = Field(8.0, ge=1, description="How much longer requests take there.")
    unbooked: Size = Field(
        0, description="What each request takes on a GPU while it computes, and nobody booked."
    )
    loaded: LoadedNow | None = None


class DescribedRules(Settings):
    """What the owner decided; the same meanings and defaults as in ``vram_config.yaml``."""

    policy: str = "cost"
    margin: Size = 256 * MIB
    host_margin: Size = 1 * GIB
    keep_alive_s: PositiveSeconds = 900.0
    max_queue: int = Field(16, ge=1)
    min_residence_s: Seconds = Field(0.0, ge=0)
    patience_s: Seconds = Field(3.0, ge=0)
    drain_after_s: Seconds = Field(10.0, ge=0)
    warning_pct: float = Field(90.0, gt=0, le=100)
    clear_pct: float = Field(85.0, gt=0, le=100)
    low_free: Size = 1 * GIB
    hold_s: Seconds = Field(1.0, ge=0)
    calm_s: Seconds = Field(10.0, ge=0)
    move_interval_s: Seconds = Field(60.0, ge=0)
    sample_interval_s: PositiveSeconds = 1.0
    unload_s: Seconds = Field(0.5, ge=0, description="How long an unload takes.")
    prediction: PredictionSettings = Field(
        PredictionSettings(enabled=False), description="Whether models are loaded ahead."
    )

    @model_validator(mode="after")
    def policy_exists(self) -> "DescribedRules":
        """It is one of the planner's."""
        if self.policy not in POLICIES:
            message = f"is {self.policy!r}; allowed: {', '.join(POLICIES)}"
            raise KeyProblem(("policy",), message)
        return self


class DescribedWorld(Settings):
    """The whole file."""

    rules: DescribedRules = DescribedRules()
    devices: tuple[DescribedCard, ...] = ()
    host: DescribedHost | None = DescribedHost()
    reservations: tuple[DescribedReservation, ...] = ()
    budgets: dict[str, Size] = Field(default_factory=dict)
    limits: dict[str, Size] = Field(default_factory=dict, description="Most to lease, by device.")
    models: dict[str, DescribedModel] = Field(min_length=1)

    @model_validator(mode="after")
    def names_exist(self) -> "DescribedWorld":
        """Whatever names a device or a model names one of the file's."""
        known = {*(f"cuda:{i}" for i in range(len(self.devices))), "cpu"}
        for path, device in self._named_devices():
            if device not in known:
                message = f"is {device!r}; devices here: {', '.join(sorted(known))}"
                raise KeyProblem(path, message)
        for name, model in self.models.items():
            if model.fallback is not None and model.fallback not in self.models:
                raise KeyProblem(("models", name, "fallback"), f"no model {model.fallback!r}")
        return self

    def _named_devices(self) -> list[tuple[tuple[str | int, ...], str]]:
        named: list[tuple[tuple[str | int, ...], str]] = [
            (("reservations", i, "device"), r.device) for i, r in enumerate(self.reservations)
        ]
        named += [(("limits", device), device) for device in self.limits]
        for name, model in self.models.items():
            named += [(("models", name, "devices", i), d) for i, d in enumerate(model.devices)]
            if model.loaded is not None:
                named.append((("models", name, "loaded", "device"), model.loaded.device))
        return named


RUNGS: dict[StepDown, Rung] = {
    "batch": Rung.BATCH,
    "slots": Rung.SLOTS,
    "kv": Rung.KV,
    "context": Rung.CONTEXT,
}
