"""Every event that the scheduler hears and every effect that it asks for. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from danzar.core.book import Reservation
from danzar.core.device import DeviceSnapshot
from danzar.core.model import Job, ModelFacts
from danzar.core.plan import PlacedOn, Plan, PlanInputs
from danzar.core.variant import Setting, Variant

Snapshots = tuple[DeviceSnapshot, ...]
DeviceBytes = tuple[tuple[str, int], ...]
"""``(device UUID, bytes)`` rows."""

# --- events --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SnapshotsTaken:
    """The driver was asked; ``own_pids`` are Danzar's processes at that time."""

    snapshots: Snapshots
    own_pids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """Someone asks a model."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over: answered, failed or cancelled, waiting or running.

    Attributes:
        out_of_memory: It failed because its device ran out; the model is restarted smaller.
        seconds: How long it ran, where it was answered.
    """

    job_id: int
    model: str
    succeeded: bool
    out_of_memory: bool = False
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class LoadFinished:
    """A load is done; ``snapshots`` were taken after it, so that its bytes show in them.

    Attributes:
        measured: What the driver says the load took, for the devices where it would say.
        seconds: How long it took.
    """

    model: str
    load_id: int
    measured: DeviceBytes
    snapshots: Snapshots
    seconds: float | None = None


class LoadFailure(StrEnum):
    """Why a load failed."""

    OUT_OF_MEMORY = "out_of_memory"
    TOO_FULL = "too_full"
    """The driver showed less free than was booked, before anything was touched."""
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """A load failed and its bytes are back."""

    model: str
    load_id: int
    reason: str
    cause: LoadFailure
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class UnloadFinished:
    """A model is gone from its devices; ``snapshots`` were taken after it.

    Attributes:
        lost: What a device did not give back although the process is gone.
    """

    model: str
    load_id: int
    snapshots: Snapshots
    lost: DeviceBytes = ()


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker process ended unasked; everything that it hosted is gone.

    Attributes:
        out_of_memory: It ended because its device ran out: what it hosted is loaded smaller.
    """

    worker: str
    device_uuid: str
    reason: str
    out_of_memory: bool = False


@dataclass(frozen=True, slots=True)
class LoadRequested:
    """A person wants a model loaded; idle models may leave for it."""

    model: str


@dataclass(frozen=True, slots=True)
class UnloadRequested:
    """A person or a rule wants a model gone once it is idle."""

    model: str


@dataclass(frozen=True, slots=True)
class PreloadRequested:
    """A model will be wanted: load it if it fits as things stand, evicting nothing."""

    model: str


@dataclass(frozen=True, slots=True)
class PinChanged:
    """A person pins a model, or lets it go again."""

    model: str
    pinned: bool


@dataclass(frozen=True, slots=True)
class ReservationsChanged:
    """All reservations from now on."""

    reservations: tuple[Reservation, ...]


@dataclass(frozen=True, slots=True)
class FactsChanged:
    """What is known of some models changed: a load was measured, or the owner's settings."""

    facts: tuple[ModelFacts, ...]


@dataclass(frozen=True, slots=True)
class VariantsChanged:
    """What a model takes is known better: a load was measured."""

    model: str
    variants: tuple[Variant, ...]


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


WorkerEvent = LoadFinished | LoadFailed | UnloadFinished | WorkerLost
OwnerEvent = (
    LoadRequested
    | UnloadRequested
    | PreloadRequested
    | PinChanged
    | ReservationsChanged
    | FactsChanged
    | VariantsChanged
)
Event = SnapshotsTaken | JobSubmitted | JobEnded | Tick | WorkerEvent | OwnerEvent

# --- effects -------------------------------------------------------------------------------


class Refusal(StrEnum):
    """Why a job is not done."""

    QUEUE_FULL = "queue_full"
    CANNOT_PLACE = "cannot_place"
    LOAD_FAILED = "load_failed"
    UNKNOWN_MODEL = "unknown_model"


@dataclass(frozen=True, slots=True)
class StartLoad:
    """Check that the devices still have room, then load; the bytes are booked."""

    model: str
    load_id: int
    placed: PlacedOn

    @property
    def device_uuid(self) -> str:
        """The device that hosts it, or most of it."""
        return self.placed.device_uuid


@dataclass(frozen=True, slots=True)
class StartUnload:
    """Unload the model and verify that its bytes are back."""

    model: str
    load_id: int
    device_uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class StartJob:
    """Run the job on its loaded model (``job.model``: a smaller one where it was redirected).

    Attributes:
        settings: What differs from the model's own settings, as it is loaded.
    """

    job: Job
    device_uuid: str
    degraded: str | None
    settings: tuple[tuple[str, Setting], ...] = ()


@dataclass(frozen=True, slots=True)
class RefuseJob:
    """Tell whoever asked that it will not be done, and why."""

    job_id: int
    kind: Refusal
    reason: str


@dataclass(frozen=True, slots=True)
class QueueMoved:
    """A waiting job's place changed; 1 is next.

    Attributes:
        expected_s: When it is expected to start, seconds from now; ``None`` unknown.
    """

    job_id: int
    position: int
    expected_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan that differs from the last one for its model; for the log, ``why`` and replay."""

    inputs: PlanInputs
    plan: Plan


Effect = StartLoad | StartUnload | StartJob | RefuseJob | QueueMoved | Decided
