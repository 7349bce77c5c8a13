"""The small face of the manager that front ends see: ask a model, get parts and a result."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import Protocol

from danzar.core.asker import NOBODY, Asker
from danzar.core.variant import Setting
from danzar.workers.contract import Part, Request, Result


@dataclass(frozen=True, slots=True)
class Placed:
    """Where a request runs; sent before its first part.

    Attributes:
        model: Name in ``models.yaml``.
        device: ``cuda:N`` or ``cpu``.
        simulated: The card is simulated and the work is done by the CPU.
        degraded: One sentence with the number that forced a worse place, or ``None``.
        settings: What differs from the model's own settings, as it is loaded.
        batch: Pictures that may be computed at once; ``None`` where the model's settings say it.
    """

    model: str
    device: str
    simulated: bool
    degraded: str | None = None
    settings: tuple[tuple[str, Setting], ...] = ()
    batch: int | None = None

    @property
    def device_text(self) -> str:
        """The device as a person is told it."""
        return f"{self.device} (simulated)" if self.simulated else self.device


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished request.

    Attributes:
        seconds: From the moment the worker began until its result, without waiting in a queue.
        waited_s: From the request until the worker began.
    """

    result: Result
    placed: Placed
    seconds: float
    waited_s: float


Progress = Placed | Part | Outcome
MakeRequest = Callable[[Placed], Request]
"""A request that depends on where and how its model is loaded."""


@dataclass(frozen=True, slots=True)
class QueuePlace:
    """Where a request stands.

    Attributes:
        position: 1 is next.
        expected_s: When it is expected to start, seconds from now; ``None`` unknown.
        bound_s: How long the owner wants such a request to wait at most; ``None`` unknown.
        loading: Nobody is before it: it starts once its model is loaded.
    """

    position: int
    expected_s: float | None = None
    bound_s: float | None = None
    loading: bool = False


OnPosition = Callable[[QueuePlace], None]


class Inference(Protocol):
    """Ask a model by name. The manager loads it where it fits, or refuses with the numbers."""

    def stream(
        self,
        model: str,
        request: Request | MakeRequest,
        *,
        asker: Asker = NOBODY,
        on_position: OnPosition | None = None,
    ) -> AsyncGenerator[Progress]:
        """Yield ``Placed``, then parts as they come, then one ``Outcome``.

        Closing the generator (``aclose``) cancels the request and stops the computing.
        ``asker`` says who waits and for what: the order of waiting goes by it. ``on_position`` is
        called with the place in the queue whenever it changes.

        Raises:
            danzar.errors.DanzarError: With a message for the person who asked.
        """
        ...

    async def call(
        self, model: str, request: Request | MakeRequest, *, asker: Asker = NOBODY
    ) -> Outcome:
        """The same for requests whose parts do not matter."""
        ...

    def batch_size(self, model: str) -> int | None:
        """Pictures that it computes at once just now; ``None`` while it is not loaded."""
        ...
