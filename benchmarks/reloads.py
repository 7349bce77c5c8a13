"""What a worker keeps of models that came and went: many loads in one real process.

    python -m benchmarks.reloads [--models yolo-nano clip-doom] [--times 30]

Each round loads the models in turn, asks each a few things, unloads it, and has the worker give
back what it can, as upkeep does. Memory that no file stands behind (``own_bytes``) is printed after
each; the slope (Theil-Sen) is that of the second half. ``MALLOC_ARENA_MAX=2`` before it shows what
a second heap keeps.
"""

import argparse
import asyncio
from collections.abc import Sequence

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
    asked = [request_of(name, random) for _ in range(_ASKED)]
    batches = [MeasureBatch(_BATCH)] if ENGINES[spec.backend] == "torch" else []
    for request in (*asked, *batches):
        async for _part in worker.run(name, request):
            pass
    await worker.unload(name)


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


async def measure(names: Sequence[str], times: int) -> list[float]:
    """Memory after each round, MB."""
    random = np.random.default_rng(1)
    (engine,) = {ENGINES[spec_of(name).backend] for name in names}
    worker = await WorkerProcess.start(engine)
    kept = []
    try:
        for number in range(1, times + 1):
            for name in names:
                await one_round(worker, name, random)
            kept.append(await held_mb(worker))
            print(f"  {number:3}  {kept[-1]:7.1f} MB", flush=True)
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
    options = parser.parse_args()
    print(f"{', '.join(options.models)}: memory after each round")
    print(second_half(asyncio.run(measure(options.models, options.times))))


if __name__ == "__main__":
    main()
