"""What the manager, the loader and the pool ask of the warm tier; here it keeps nothing."""

from collections.abc import Callable

from danzar.broker.warm_standby import OnExit, Standby
from danzar.core.events import DropWarm, Event, Snapshots, StartStandby
from danzar.workers.contract import LoadSpec
from danzar.workers.process import WorkerProcess


class Warm:
    """The tier where it is off. ``danzar.broker.warm.WarmKeeper`` is the one that keeps.

    Attributes:
        post: Hands an event to the scheduler; set by the manager.
        files_to_drop: Asked for models whose files are to leave the page cache; set likewise.
    """

    def __init__(self) -> None:
        self.post: Callable[[Event], None] = _ignore
        self.files_to_drop: Callable[[], tuple[str, ...]] = tuple

    async def equip(self, spec: LoadSpec) -> LoadSpec:
        """Before a load: the same with a warm copy, where there is one that is still right."""
        return spec

    def had_pages(self, model: str) -> bool:
        """Whether a model's file was in the page cache when its last load began."""
        del model
        return False

    def take_standby(self, worker: str, gpus: tuple[str, ...], on_exit: OnExit) -> Standby | None:
        """The waiting process for this worker and these cards; its end is the taker's from now."""
        del worker, gpus, on_exit
        return None

    async def keep(self, model: str, process: WorkerProcess, limit_bytes: int) -> None:
        """Before an unload: keep the weights, and report what came of it."""

    async def settled(self) -> None:
        """Return when what is being given back is back: a load counts on it."""

    def pids(self) -> frozenset[int]:
        """Process ids of what waits."""
        return frozenset()

    async def drop(self, effect: DropWarm) -> None:
        """Give something back, and report it."""

    async def start_standby(self, effect: StartStandby, gpus: tuple[str, ...]) -> None:
        """Start a process for later, and report it."""

    async def check(self, snapshots: Snapshots) -> None:
        """See that the standby holds no card."""

    def look_soon(self) -> None:
        """Something was loaded or unloaded: look at the page cache."""

    async def close(self) -> None:
        """Give everything back."""


def _ignore(event: Event) -> None:
    """Until the manager listens, nothing is kept of which it would have to hear."""
