"""How fast the vision models are at each batch size, measured on the running bot.

Each size is set as a person would set it, so that its memory is booked before it is used; then
real requests run one after another. Every size gets two turns, the second in the opposite order,
so that a machine that slows down meanwhile favours none. Afterwards all is as it was.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, suppress
from functools import partial

from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.core.batch_tuning import BatchView
from danzar.errors import BackendFailed, BadInput, DanzarError
from danzar.inference import Inference, Outcome
from danzar.optimizer.bench_result import (
    BenchResult,
    Tally,
    bench_text,
    judge_choice,
    sizes_to_try,
)
from danzar.optimizer.optimizer import OFF, MemoryOptimizer
from danzar.optimizer.parts import Models
from danzar.optimizer.sample_picture import Ask, Sample, asks_of, sample_picture
from danzar.optimizer.wishes import Progress

SHORTEST_S, LONGEST_S = 1.0, 3600.0
_RESIZE_TIMEOUT_S = 15.0
_POLL_S = 0.05
_REQUEST_TIMEOUT_S = 180.0
# Nobody waits for it: people's pictures go first.
_JOB = Asker(RequestClass.JOB)

Tell = Callable[[Progress], Awaitable[None]]
Note = Callable[[str, str, str], Awaitable[None]]


class Bench:
    """Measures, one benchmark at a time."""

    def __init__(
        self,
        inference: Inference,
        models: Models,
        optimizer: MemoryOptimizer,
        config: Config,
        note: Note,
        *,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Read and ask others; own nothing.

        Args:
            inference: Runs the requests.
            models: Knows and fixes batch sizes.
            optimizer: Whose choice is judged, and whose limits hold.
            config: Which models have vision's roles.
            note: Writes a line into the audit: who, what, details.
            now_s: Monotonic seconds.
        """
        self._inference = inference
        self._models = models
        self._optimizer = optimizer
        self._config = config
        self._note = note
        self._now_s = now_s
        self._busy = asyncio.Lock()

    async def run(self, duration_s: float, tell: Tell, *, who: str) -> BenchResult:
        """Measure for about ``duration_s``.

        Raises:
            danzar.errors.BadInput: Out of range, another one runs, or the optimizer is disabled.
            danzar.errors.DanzarError: No vision model could be asked.
        """
        self._check(duration_s)
        async with self._busy:
            try:
                result = await self._measure(duration_s, tell)
            finally:
                self._models.fix_batch(self._optimizer.status().manual_batch_size)
        await self._note(who, "benchmark", bench_text(result))
        return result

    def _check(self, duration_s: float) -> None:
        if not SHORTEST_S <= duration_s <= LONGEST_S:
            allowed = f"allowed: {SHORTEST_S:g} to {LONGEST_S:g}"
            raise BadInput(f"a benchmark of {duration_s:g} s is out of range; {allowed}")
        if not self._optimizer.config.enabled:
            raise BadInput(OFF)
        if self._busy.locked():
            raise BadInput("a benchmark is running already; wait until it has ended")

    async def _measure(self, duration_s: float, tell: Tell) -> BenchResult:
        begun_s = self._now_s()
        await tell(Progress(0.0, "loading the vision models"))
        sample = await sample_picture(self._inference, self._config)
        asks = asks_of(self._config)
        if not asks:
            raise BadInput("no vision model is in use (use.detect and use.rank in models.yaml)")
        chosen = {model: await self._begin(model, ask, sample) for model, ask in asks.items()}
        limits = self._optimizer.config
        tallies = [
            Tally(model, size)
            for model, size_now in chosen.items()
            for size in sizes_to_try(limits.min_batch_size, limits.max_batch_size, size_now)
        ]
        try:
            await self._take_turns(tallies, asks, sample, duration_s, tell)
        finally:
            # What the sizes were; from there, they are decided as before.
            self._models.fix_batch(max(chosen.values()))
        rows = tuple(tally.row() for tally in tallies)
        choices = tuple(
            judge_choice(model, size, [r for r in rows if r.model == model])
            for model, size in chosen.items()
        )
        lasted_s = self._now_s() - begun_s
        return BenchResult(lasted_s, sample.name, limits.strategy, rows, choices)

    async def _take_turns(
        self,
        tallies: list[Tally],
        asks: dict[str, Ask],
        sample: Sample,
        duration_s: float,
        tell: Tell,
    ) -> None:
        turns = [*tallies, *reversed(tallies)]
        ready_s = self._now_s()
        for number, tally in enumerate(turns):
            words = f"{tally.model}, {tally.batch} at once"
            until_s = ready_s + duration_s * (number + 1) / len(turns)
            turn = self._turn(tally, asks[tally.model], sample, until_s)
            async with aclosing(turn) as requests:
                async for _ in requests:
                    # Told after each request, so that whoever has gone ends the work soon.
                    await tell(Progress(number / len(turns), words))

    async def _begin(self, model: str, ask: Ask, sample: Sample) -> int:
        """Load the model; the batch that it has now, or goes to when it is not allowed any more."""
        await self._ask(model, ask, sample, 1)
        view, limits = self._view(model), self._optimizer.config
        size = self._optimizer.get_current_batch_size() if view is None else view.size
        return max(limits.min_batch_size, min(limits.max_batch_size, size))

    async def _turn(
        self, tally: Tally, ask: Ask, sample: Sample, until_s: float
    ) -> AsyncGenerator[None]:
        """At least one request, and more until the time has come; yields after each."""
        tally.skipped = await self._resize(tally.model, tally.batch)
        yield
        if tally.skipped is not None:
            return
        try:
            # The first one after a change pays for what the change brought with it.
            await self._ask(tally.model, ask, sample, tally.batch)
            due = True
            while due:
                begun_s = self._now_s()
                outcome = await self._ask(tally.model, ask, sample, tally.batch)
                tally.seconds.append(self._now_s() - begun_s)
                tally.placed = outcome.placed
                due = self._now_s() < until_s
                yield
        except DanzarError as exc:
            tally.skipped = str(exc)

    async def _resize(self, model: str, size: int) -> str | None:
        """Have the batch set, memory booked and all; why that could not be done, if so."""
        self._models.fix_batch(size)
        with suppress(TimeoutError):
            async with asyncio.timeout(_RESIZE_TIMEOUT_S):
                while (view := self._view(model)) is not None and view.size != size:
                    if view.limit is not None and view.limit < size:
                        return f"memory has room for {view.limit} at once ({view.reason})"
                    await asyncio.sleep(_POLL_S)
        view = self._view(model)
        if view is not None and view.size != size:
            return f"the batch stayed at {view.size} ({view.reason})"
        return None

    def _view(self, model: str) -> BatchView | None:
        return next((view for view in self._models.batches() if view.model == model), None)

    async def _ask(self, model: str, ask: Ask, sample: Sample, batch: int) -> Outcome:
        """One real request of so many pictures."""
        pictures = (sample.picture,) * batch
        try:
            async with asyncio.timeout(_REQUEST_TIMEOUT_S):
                return await self._inference.call(model, partial(ask, pictures), asker=_JOB)
        except TimeoutError:
            message = f"{model} gave no answer in {_REQUEST_TIMEOUT_S:.0f} s"
            raise BackendFailed(message) from None
