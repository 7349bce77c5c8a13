"""Every event that the scheduler hears and every effect that it asks for. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from danzar.core.device import DeviceSnapshot
from danzar.core.model import Job

Snapshots = tuple[DeviceSnapshot, ...]

# --- events --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SnapshotsTaken:
    """The driver was asked."""

    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class JobSubmitted:
    """Someone asks a model."""

    job: Job


@dataclass(frozen=True, slots=True)
class JobEnded:
    """A job is over: answered, failed or cancelled, waiting or running."""

    job_id: int
    model: str
    succeeded: bool


@dataclass(frozen=True, slots=True)
class LoadFinished:
    """A load is done; ``snapshots`` were taken after it, so that its bytes show in them.

    Attributes:
        measured_bytes: What the driver says the load took; ``None`` where it would not say.
    """

    model: str
    lease_id: int
    measured_bytes: int | None
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class LoadFailed:
    """A load failed and its bytes are back."""

    model: str
    lease_id: int
    reason: str
    out_of_memory: bool
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class UnloadFinished:
    """A model is gone from its device; ``snapshots`` were taken after it."""

    model: str
    lease_id: int
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class UnloadRequested:
    """A person or a rule wants a model gone once it is idle."""

    model: str


@dataclass(frozen=True, slots=True)
class PreloadRequested:
    """A model will be wanted: load it if it fits as things stand, evicting nothing."""

    model: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker process ended unasked; everything that it hosted is gone."""

    engine: str
    device_uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed."""


WorkerEvent = LoadFinished | LoadFailed | UnloadFinished | WorkerLost
Event = (
    SnapshotsTaken
    | JobSubmitted
    | JobEnded
    | UnloadRequested
    | PreloadRequested
    | Tick
    | WorkerEvent
)

# --- effects -------------------------------------------------------------------------------


class Refusal(StrEnum):
    """Why a job is not done."""

    QUEUE_FULL = "queue_full"
    CANNOT_PLACE = "cannot_place"
    LOAD_FAILED = "load_failed"
    UNKNOWN_MODEL = "unknown_model"


@dataclass(frozen=True, slots=True)
class StartLoad:
    """Load the model on the device; the bytes are booked under the lease."""

    model: str
    device_uuid: str
    lease_id: int
    size_bytes: int
    reason: str


@dataclass(frozen=True, slots=True)
class StartUnload:
    """Unload the model and verify that it is gone."""

    model: str
    device_uuid: str
    lease_id: int
    reason: str


@dataclass(frozen=True, slots=True)
class StartJob:
    """Run the job on its loaded model."""

    job: Job
    device_uuid: str
    degraded: str | None


@dataclass(frozen=True, slots=True)
class RefuseJob:
    """Tell whoever asked that it will not be done, and why."""

    job_id: int
    kind: Refusal
    reason: str


@dataclass(frozen=True, slots=True)
class QueueMoved:
    """A waiting job's place changed; 1 is next."""

    job_id: int
    position: int


Effect = StartLoad | StartUnload | StartJob | RefuseJob | QueueMoved
