"""Every event that the scheduler hears and every effect that it asks for. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from danzar.core.batch_curve import BatchPoint
from danzar.core.book import Reservation
from danzar.core.device import DeviceSnapshot
from danzar.core.leaving import UnloadCause
from danzar.core.model import Job, ModelFacts
from danzar.core.plan import PlacedOn, Plan, PlanInputs
from danzar.core.prediction_hints import HintKind
from danzar.core.reload import LoadWay
from danzar.core.variant import Setting, Variant
from danzar.core.warm_items import FilePages, WarmKey

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
        way: How it went; ``None`` where nobody said so.
    """

    model: str
    load_id: int
    measured: DeviceBytes
    snapshots: Snapshots
    seconds: float | None = None
    way: LoadWay | None = None


@dataclass(frozen=True, slots=True)
class WarmKept:
    """Weights or a standby process are kept warm.

    Attributes:
        snapshots: Taken after it; empty where others follow at once.
    """

    key: WarmKey
    size_bytes: int
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class WarmGone:
    """Something is kept warm no longer, or could not be.

    Attributes:
        snapshots: Taken after it; empty where nothing changed for the devices.
    """

    key: WarmKey
    reason: str
    snapshots: Snapshots


@dataclass(frozen=True, slots=True)
class PagesSeen:
    """How much of some models' files is in the page cache."""

    files: tuple[FilePages, ...]


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
class BatchesMeasured:
    """Batches of a model were measured: by requests, or by trying them."""

    model: str
    points: tuple[BatchPoint, ...]


@dataclass(frozen=True, slots=True)
class BatchResized:
    """A worker took what a larger batch needs, or gave back what a smaller one does not.

    Attributes:
        freed_bytes: What the driver shows as given back; ``None`` where it does not say.
        failed: Why the memory could not be taken; the batch stays as it was.
    """

    model: str
    load_id: int
    before: int
    size: int
    reason: str
    snapshots: Snapshots
    freed_bytes: int | None = None
    failed: str | None = None


@dataclass(frozen=True, slots=True)
class BatchFixed:
    """A person sets the batch size of all models, or (``None``) lets it follow the memory again."""

    size: int | None


@dataclass(frozen=True, slots=True)
class RecycleRequested:
    """A worker is to be started anew: its requests end, its models leave and come back."""

    worker: str
    device_uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class SpillFound:
    """A model's memory was moved to host RAM by the driver: it is loaded again with less."""

    model: str
    reason: str


@dataclass(frozen=True, slots=True)
class HintGiven:
    """Somebody is about to ask, it seems."""

    model: str
    kind: HintKind


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passed.

    Attributes:
        local_s: Seconds since 1970 in local time; ``None`` where the time of day is not known.
    """

    local_s: float | None = None


WorkerEvent = LoadFinished | LoadFailed | UnloadFinished | WorkerLost
UpkeepEvent = BatchesMeasured | BatchResized | BatchFixed | RecycleRequested | SpillFound
OwnerEvent = (
    LoadRequested
    | UnloadRequested
    | PreloadRequested
    | HintGiven
    | PinChanged
    | ReservationsChanged
    | FactsChanged
    | VariantsChanged
)
WarmEvent = WarmKept | WarmGone | PagesSeen
PlanEvent = SnapshotsTaken | JobSubmitted | JobEnded | Tick | WorkerEvent | OwnerEvent
Event = PlanEvent | UpkeepEvent | WarmEvent

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
class CancelLoad:
    """End a load ahead that has not come to its end; it ends as an unload does."""

    model: str
    load_id: int
    device_uuid: str
    reason: str


@dataclass(frozen=True, slots=True)
class StartUnload:
    """Unload the model and verify that its bytes are back.

    Attributes:
        keep_bytes: Before that, its weights go to the warm tier, and may take this much there; 0:
            they do not.
        cause: What kind of reason it is.
    """

    model: str
    load_id: int
    device_uuid: str
    reason: str
    keep_bytes: int = 0
    cause: UnloadCause = UnloadCause.ASKED


@dataclass(frozen=True, slots=True)
class DropWarm:
    """Give back at once what is kept warm; ``WarmGone`` tells that it is done."""

    key: WarmKey
    reason: str


@dataclass(frozen=True, slots=True)
class StartStandby:
    """Start a process for a worker in advance, for loads on this device; it is booked."""

    worker: str
    device_uuid: str


@dataclass(frozen=True, slots=True)
class StartJob:
    """Run the job on its loaded model (``job.model``: a smaller one where it was redirected).

    Attributes:
        settings: What differs from the model's own settings, as it is loaded.
        batch: Pictures that may be computed at once; ``None`` where the model's settings say it.
    """

    job: Job
    device_uuid: str
    degraded: str | None
    settings: tuple[tuple[str, Setting], ...] = ()
    batch: int | None = None


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
        bound_s: How long a request of its class should wait at most, from its beginning.
        loading: Nobody is before it: it starts once its model is loaded.
    """

    job_id: int
    position: int
    expected_s: float | None = None
    bound_s: float | None = None
    loading: bool = False


@dataclass(frozen=True, slots=True)
class ResizeBatch:
    """Take what a larger batch needs, or give back what a smaller one does not.

    Attributes:
        before: The size until now, pictures.
        size: The size from now on; a larger one holds once this is done.
        more_bytes: What it takes beyond the one before, negative for a smaller one; ``None``
            unknown.
    """

    model: str
    load_id: int
    before: int
    size: int
    more_bytes: int | None
    reason: str

    @property
    def grows(self) -> bool:
        """Whether memory is to be taken."""
        return self.size > self.before


@dataclass(frozen=True, slots=True)
class BatchChanged:
    """A model computes with another batch from now on; for the log and for people."""

    model: str
    before: int
    size: int
    reason: str


@dataclass(frozen=True, slots=True)
class Decided:
    """A plan that differs from the last one for its model; for the log, ``why`` and replay."""

    inputs: PlanInputs
    plan: Plan


BatchEffect = ResizeBatch | BatchChanged
WarmEffect = DropWarm | StartStandby
LoadEffect = StartLoad | CancelLoad | StartUnload
JobEffect = StartJob | RefuseJob | QueueMoved
Effect = LoadEffect | JobEffect | Decided | BatchEffect | WarmEffect
