"""What a worker keeps of models that came and went: many loads in one real process.

    python -m benchmarks.reloads [--models yolo-nano clip-doom] [--times 30] [--beside]

Each round loads the models in turn, asks each a few things, unloads it, and has the worker give
back what it can, as upkeep does. With ``--beside`` all are loaded, and in each round one of them
leaves and comes back while the others stay, as when a person unloads it. Memory that no file
stands behind (``own_bytes``) is printed after each; the slope (Theil-Sen) is that of the second
half. ``MALLOC_ARENA_MAX=2`` before it shows what a second heap keeps.
"""

import argparse
import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from itertools import cycle

import numpy as np
import psutil

from benchmarks.conversations import model_path
from benchmarks.reload import MODELS, make_spec
from benchmarks.soak_analysis import theil_sen
from benchmarks.soak_samples import own_bytes
from danzar.workers.contract import (
    ENGINES,
    ChatMessage,
    Detect,
    Generate,
    LoadSpec,
    MeasureBatch,
    Picture,
    Rank,
    ReadText,
    Request,
)
from danzar.workers.process import WorkerProcess

Rounds = Callable[[WorkerProcess, Sequence[str]], AsyncGenerator[float]]
_ASKED = 5
_BATCH = 16
_NAMES = ("yolo-nano", "clip-doom", "ocr", "smollm2")


def spec_of(name: str) -> LoadSpec:
    """How the model is loaded, on the CPU."""
    match name:
        case "ocr":
            return LoadSpec(name, "ocr", None)
        case "smollm2":
            settings = {"n_ctx": 2048, "n_threads": 1}
            return LoadSpec(name, "llama", model_path(), settings=settings)
        case _:
            return make_spec(name, "cpu", MODELS)


def request_of(name: str, random: np.random.Generator) -> Request:
    """A question, of the vision models with a picture of noise."""
    pixels = random.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    pictures = (Picture(320, 240, "rgb", pixels.tobytes()),)
    if name == "smollm2":
        return Generate((ChatMessage("user", "Tell me a story about a dragon."),), 40)
    if name == "ocr":
        return ReadText(pictures)
    if name.startswith("yolo"):
        return Detect(pictures)
    return Rank(pictures, ("an enemy", "a menu", "nothing"))


async def one_round(worker: WorkerProcess, name: str, random: np.random.Generator) -> None:
    """Load, ask, compute a large batch where the model can, unload."""
    spec = spec_of(name)
    await worker.load(spec)
    await ask(worker, name, random)
    if ENGINES[spec.backend] == "torch":
        await run(worker, name, MeasureBatch(_BATCH))
    await worker.unload(name)


async def ask(worker: WorkerProcess, name: str, random: np.random.Generator) -> None:
    """A few things, one after the other."""
    for _ in range(_ASKED):
        await run(worker, name, request_of(name, random))


async def run(worker: WorkerProcess, name: str, request: Request) -> None:
    """One request, to its end."""
    async for _part in worker.run(name, request):
        pass


async def held_mb(worker: WorkerProcess) -> float:
    """Memory of its own, MB, after it gave back what it could."""
    await worker.trim()
    return own_mb(worker)


def own_mb(worker: WorkerProcess) -> float:
    """Memory of its own, MB, as it stands."""
    uss_bytes = psutil.Process(worker.pid).memory_full_info().uss
    return own_bytes(worker.pid, uss_bytes) / 1e6


def second_half(held: Sequence[float]) -> str:
    """From where to where the second half of the rounds went, MB, and the slope (Theil-Sen)."""
    half = held[len(held) // 2 :]
    slope = theil_sen([list(enumerate(half))])
    return f"second half: {half[0]:.2f} to {half[-1]:.2f} MB, {slope:+.3f} MB a round"


async def alone(worker: WorkerProcess, names: Sequence[str]) -> AsyncGenerator[float]:
    """Memory after each round in which each came and left, MB."""
    random = np.random.default_rng(1)
    while True:
        for name in names:
            await one_round(worker, name, random)
        yield await held_mb(worker)


async def beside(worker: WorkerProcess, names: Sequence[str]) -> AsyncGenerator[float]:
    """Memory with all loaded, MB, after each round in which one left and came back."""
    random = np.random.default_rng(1)
    for name in names:
        await worker.load(spec_of(name))
        await ask(worker, name, random)
    for leaving in cycle(names):
        await worker.unload(leaving)
        await worker.load(spec_of(leaving))
        for name in names:
            await ask(worker, name, random)
        yield await held_mb(worker)


async def measure(names: Sequence[str], times: int, rounds: Rounds) -> list[float]:
    """Memory after each round, MB."""
    (engine,) = {ENGINES[spec_of(name).backend] for name in names}
    worker = await WorkerProcess.start(engine)
    kept = list[float]()
    try:
        async with aclosing(rounds(worker, names)) as held:
            while len(kept) < times:
                kept.append(await anext(held))
                print(f"  {len(kept):3}  {kept[-1]:7.1f} MB", flush=True)
    finally:
        await worker.stop()
    return kept


def main() -> None:
    """Read the command line, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--models", nargs="+", choices=_NAMES, default=_NAMES[:2], help="of one engine"
    )
    parser.add_argument("--times", type=int, default=30, help="4 at least")
    parser.add_argument("--beside", action="store_true", help="one at a time, the others stay")
    options = parser.parse_args()
    print(f"{', '.join(options.models)}: memory after each round")
    rounds = beside if options.beside else alone
    print(second_half(asyncio.run(measure(options.models, options.times, rounds))))


if __name__ == "__main__":
    main()
