"""A tiny ``Inference`` over real worker processes: no placement, everything on the CPU."""

from contextlib import aclosing, asynccontextmanager

from danzar.errors import ModelMissing
from danzar.inference import Outcome, Placed
from danzar.workers.contract import ENGINES, LoadSpec
from danzar.workers.outcomes import Finished
from danzar.workers.process import WorkerProcess


class WorkerInference:
    """Each engine's models in one worker process."""

    def __init__(self):
        self.workers: dict[str, WorkerProcess] = {}
        self._engine_of: dict[str, str] = {}

    async def load(self, spec: LoadSpec) -> None:
        engine = ENGINES[spec.backend]
        if engine not in self.workers:
            self.workers[engine] = await WorkerProcess.start(engine)
        await self.workers[engine].load(spec)
        self._engine_of[spec.name] = engine

    async def stream(self, model, request, *, asker=None, on_position=None):
        if model not in self._engine_of:
            raise ModelMissing(f"{model} is not loaded in this test")
        placed = Placed(model, "cpu", simulated=False)
        yield placed
        request = request(placed) if callable(request) else request
        async with aclosing(self.workers[self._engine_of[model]].run(model, request)) as parts:
            async for part in parts:
                if isinstance(part, Finished):
                    yield Outcome(part.result, placed, part.seconds, 0.0)
                else:
                    yield part

    def batch_size(self, model):
        return None

    async def call(self, model, request, *, asker=None):
        async with aclosing(self.stream(model, request)) as progress:
            async for step in progress:
                if isinstance(step, Outcome):
                    return step
        raise AssertionError("no result")


@asynccontextmanager
async def real_workers(*specs: LoadSpec):
    """The models, loaded; their processes end with the context."""
    inference = WorkerInference()
    try:
        for spec in specs:
            await inference.load(spec)
        yield inference
    finally:
        for worker in inference.workers.values():
            await worker.stop()
