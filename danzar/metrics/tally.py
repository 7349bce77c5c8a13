"""Counts what happens where it happens; ``Tally`` hears it from the parts themselves."""

from collections.abc import Callable, Collection

from danzar.broker.news import (
    LoadEnded,
    LoadOutcome,
    ModelLost,
    News,
    PlanMade,
    RequestEnded,
    RequestOutcome,
    UnloadBegan,
)
from danzar.core.asker import RequestClass
from danzar.core.device import DeviceSnapshot
from danzar.core.leaving import UnloadCause
from danzar.jobs.contract import JobState
from danzar.metrics import names
from danzar.metrics.counts import Counts
from danzar.metrics.labels import DeviceLabels, KnownDevices
from danzar.metrics.text import Rows
from danzar.optimizer.results import MemoryOptimizationResult
from danzar.workers.contract import (
    CaptureEnded,
    DetectedBatch,
    Embeddings,
    Generated,
    RankedBatch,
    Result,
    TextBatch,
)

_UNKNOWN = "unknown"
_JOB_ENDS = tuple(state for state in JobState if state.ended)


class Tally:
    """All counters; every method counts and returns.

    Attributes:
        counts: What came of it.
        devices: Those that were ever seen.
    """

    def __init__(
        self,
        models: Callable[[], Collection[str]],
        snapshots: Callable[[], tuple[DeviceSnapshot, ...]],
    ) -> None:
        """Begin at 0.

        Args:
            models: The configured ones: a name that somebody invents makes no series of its own.
            snapshots: The devices as they were last measured.
        """
        self.counts = Counts()
        self.devices = KnownDevices()
        self._models = models
        self._snapshots = snapshots
        self._errors: dict[str, float] = {}
        self._begin()

    def estimate_errors(self) -> Rows:
        """How far off the estimate of each model's last measured load was."""
        return {(model,): error for model, error in self._errors.items()}

    # --- what it hears ---------------------------------------------------------------------

    def hear(self, news: News) -> None:
        """What the broker tells."""
        match news:
            case RequestEnded():
                self._request_ended(news)
            case LoadEnded():
                self._load_ended(news)
            case UnloadBegan(model, uuid, cause):
                self.counts.add(names.EVICTIONS, model, *self._where(uuid), cause)
            case ModelLost(model):
                self.counts.add(names.WORKER_LOST, model)
            case PlanMade(seconds):
                self.counts.observe(names.PLAN_SECONDS, seconds)

    def optimized(self, result: MemoryOptimizationResult) -> None:
        """What the optimizer did, or tried."""
        actions = result.action_taken.split("+")
        counts = self.counts
        counts.add(names.OPTIMIZATIONS)
        counts.add(names.OPTIMIZATIONS_SUCCESS, by=int(result.success))
        counts.add(names.CLEANUPS, by=int("trim" in actions or "recycle" in actions))
        counts.add(names.BATCH_OPTIMIZATIONS, by=int("batch" in actions))
        counts.add(names.FREED_BYTES, by=result.memory_freed_bytes or 0)

    def job_ended(self, model: str, state: JobState) -> None:
        """A job of this machine is over."""
        model = self._known(model)
        for outcome in _JOB_ENDS:
            self.counts.add(names.JOBS, model, outcome, by=int(outcome is state))

    # --- how it counts -----------------------------------------------------------------------

    def _begin(self) -> None:
        """What is known to be 0: the first step of a counter that was never there is not seen."""
        for metric in (
            names.OPTIMIZATIONS,
            names.OPTIMIZATIONS_SUCCESS,
            names.CLEANUPS,
            names.BATCH_OPTIMIZATIONS,
            names.FREED_BYTES,
        ):
            self.counts.add(metric, by=0)
        for model in self._models():
            self.counts.add(names.WORKER_LOST, model, by=0)
        for kind in RequestClass:
            self.counts.begin(names.REQUEST_WAIT, kind)
        self.counts.begin(names.PLAN_SECONDS)

    def _request_ended(self, news: RequestEnded) -> None:
        model, kind, counts = self._known(news.model), news.request_class, self.counts
        for outcome in RequestOutcome:
            counts.add(names.REQUESTS, model, kind, outcome, by=int(outcome is news.outcome))
        if news.waited_s is not None:
            counts.observe(names.REQUEST_WAIT, news.waited_s, kind)
        if news.result is not None:
            # A capture lasts as long as its watch, which says nothing about how quick a model is.
            if not isinstance(news.result, CaptureEnded):
                counts.observe(names.REQUEST_SECONDS, news.seconds, model, kind)
            self._count_work(model, news.result)

    def _count_work(self, model: str, result: Result) -> None:
        counts = self.counts
        match result:
            case Generated(prompt_tokens=prompt, completion_tokens=generated, reused_tokens=reused):
                counts.add(names.TOKENS, model, "prompt", by=max(0, prompt - reused))
                counts.add(names.TOKENS, model, "reused", by=reused)
                counts.add(names.TOKENS, model, "generated", by=generated)
            case DetectedBatch(pictures) | RankedBatch(pictures) | TextBatch(pictures):
                counts.add(names.FRAMES, model, by=len(pictures))
            case Embeddings(vectors, tokens) if tokens:
                counts.add(names.TOKENS, model, "prompt", by=tokens)
            case Embeddings(vectors):
                counts.add(names.FRAMES, model, by=len(vectors))
            case _:
                pass

    def _load_ended(self, news: LoadEnded) -> None:
        where, counts = self._where(news.device_uuid), self.counts
        for outcome in LoadOutcome:
            by = int(outcome is news.outcome)
            counts.add(names.LOADS, news.model, *where, outcome, by=by)
        if news.outcome is not LoadOutcome.LOADED:
            return
        for cause in UnloadCause:
            counts.add(names.EVICTIONS, news.model, *where, cause, by=0)
        counts.observe(names.LOAD_SECONDS, news.seconds, news.model)
        if news.measured_bytes:
            off_bytes = abs(news.measured_bytes - news.booked_bytes)
            self._errors[news.model] = off_bytes / news.measured_bytes

    def _where(self, uuid: str) -> DeviceLabels:
        self.devices.see(self._snapshots())
        return self.devices.labels(uuid)

    def _known(self, model: str) -> str:
        return model if model in self._models() else _UNKNOWN
