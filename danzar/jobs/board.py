"""What machines that share jobs share: who waits, who runs what, and how it ended.

One process keeps it in its own memory (``local_board``), several in Redis (``redis_board``). It may
forget: what was accepted is on the disk of the machine that accepted it, which puts it here again.
"""

from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from danzar.jobs.contract import PartCame
from danzar.jobs.record import Ending, JobRecord, News, Standing, Taken


@dataclass(frozen=True, slots=True)
class HasStarted:
    """To its home: the job runs."""

    job_id: str
    attempt: int


@dataclass(frozen=True, slots=True)
class HasEnded:
    """To its home: the job's end is to be written down."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Stop:
    """To who runs it: nobody wants the job any more."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Work:
    """To all: jobs of this model wait."""

    model: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The queue's server went away; signals may have been missed until ``Found``."""


@dataclass(frozen=True, slots=True)
class Found:
    """The queue's server answers, at first or again."""


Signal = HasStarted | HasEnded | Stop | Work | Lost | Found


@dataclass(frozen=True, slots=True)
class Changed:
    """Something about the job is new.

    Attributes:
        over: It has ended; nothing comes after this.
        run: As the job stood then, where it ran; ``None``: look at it.
    """

    over: bool = False
    run: Standing | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """How it stands with one model.

    Attributes:
        mean_run_s: How long its last jobs ran; ``None``: none has been completed.
    """

    waiting: int
    running: int
    mean_run_s: float | None


Serve = Callable[[], Coroutine[Any, Any, None]]
"""Take one job of the model, if one waits, and return when it is done with."""


@dataclass(frozen=True, slots=True)
class Pull:
    """What a machine pulls jobs of one model by.

    Attributes:
        at_once: How many, now; where it changes, ``Board.wake`` tells.
        may_pull: Asked before each; where it says no, jobs are left to others.
    """

    model: str
    at_once: Callable[[], int]
    serve: Serve
    may_pull: Callable[[], Awaitable[bool]]


class Board(Protocol):
    """The shared state. Every call raises ``QueueUnavailable`` where it can't be reached."""

    @property
    def host(self) -> str:
        """Where it is, without a secret; for messages."""
        ...

    async def put(self, jobs: Sequence[tuple[JobRecord, int]]) -> None:
        """Let jobs wait that are not known here; each with the starts it has behind it."""
        ...

    async def put_one(self, record: JobRecord) -> int | None:
        """The same for a new job; its place (1 is next), ``None`` where it is known here."""
        ...

    async def take(self, model: str, node: str) -> Taken | None:
        """The next job of the model begins to run on this node; ``None`` where none waits."""
        ...

    async def renew(self, held: Sequence[Taken], node: str) -> frozenset[str]:
        """Say that these jobs still run here; answers which of them are no longer ours."""
        ...

    async def tell(self, taken: Taken, news: News) -> None:
        """What has come of a job that runs here."""
        ...

    async def give_back(self, taken: Taken, delay_s: float, *, counts: bool) -> None:
        """Let the job wait again; ``counts``: the start was one of its attempts."""
        ...

    async def finish(self, record: JobRecord, ending: Ending, token: str = "") -> bool:
        """End the job, unless it has ended; True for the one call that did."""
        ...

    async def look(self, job_id: str) -> tuple[JobRecord, Standing] | None:
        """The job, if it is known here."""
        ...

    async def states(self, job_ids: Sequence[str]) -> list[Standing | None]:
        """Only ``state`` and ``attempt`` of many jobs at once."""
        ...

    async def end_of(self, job_id: str) -> tuple[JobRecord, Standing, bytes | None] | None:
        """How the job ended, with its packed output; ``None`` where it has not, as far as known."""
        ...

    async def output(self, job_id: str) -> bytes | None:
        """A completed job's packed output, while it is kept here."""
        ...

    async def line(self, model: str) -> Line:
        """How it stands with one model."""
        ...

    async def waited_s(self, model: str) -> float | None:
        """How long the model's next job has waited; ``None``: none waits."""
        ...

    async def waiting(self) -> Mapping[str, int]:
        """Jobs that wait, by model."""
        ...

    def events(self, job_id: str) -> AsyncGenerator[PartCame | Changed | None]:
        """All that is kept of what was told, then what comes; ``None`` about every 2 s of silence.

        What is kept at the call can be read although the job is forgotten meanwhile. It never
        raises, and has no end.
        """
        ...

    async def to_take_up(self, home: str, at_most: int) -> list[str]:
        """Jobs whose ends their home has not written down yet."""
        ...

    async def taken_up(self, home: str, job_ids: Iterable[str]) -> None:
        """Their ends are written down."""
        ...

    async def announce(self, node: str, models: Iterable[str]) -> None:
        """This node takes jobs for these models; to be said again every half minute."""
        ...

    async def takers(self) -> Mapping[str, tuple[str, ...]]:
        """Models that jobs are taken for, and the nodes that said so within the last minute."""
        ...

    async def generation(self) -> str:
        """Changes when what was here may have been forgotten."""
        ...

    def signals(self, home: str) -> AsyncGenerator[Signal]:
        """What happens, as it happens. ``Found`` first; it has no end and never raises."""
        ...

    def pulling(self, pull: Pull, node: str) -> AbstractAsyncContextManager[None]:
        """Serve the model's jobs while the context lasts; leaving it cancels ``serve``."""
        ...

    def wake(self, model: str) -> None:
        """Jobs of the model may wait, or ``may_pull`` say yes: look again. Never raises."""
        ...
