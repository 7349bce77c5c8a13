"""What a reload takes: cold, from warm weights, and into a standby; each part against memcpy.

    python -m benchmarks.reload [yolo-nano clip-doom clip-vit-b-32] [--rounds 3] [--json FILE]

All ways in one run, in turn, so that whatever else the machine does falls on all of them.
``clip-vit-b-32`` gets random weights (605 MB), written to a temporary folder. On the CPU; with
``--device cuda:0`` the copies go to the card.
"""

import argparse
import asyncio
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from danzar.broker.warm_pages import drop
from danzar.workers.contract import LoadSpec, WarmCopy
from danzar.workers.process import WorkerProcess
from danzar.workers.segment import Segment

MODELS = Path(__file__).parents[1] / "models"
LIMIT_BYTES = 1 << 30
_NAMES = ("yolo-nano", "clip-doom", "clip-vit-b-32")
_MEMCPY_BYTES = 256 << 20
_LARGE = """
import sys, open_clip
from safetensors.torch import save_file
model = open_clip.create_model("ViT-B-32")
save_file({k: v.contiguous() for k, v in model.state_dict().items()}, sys.argv[1])
"""


def make_spec(name: str, device: str, folder: Path) -> LoadSpec:
    """How one of the models is loaded; the large one is made first."""
    match name:
        case "yolo-nano":
            path = MODELS / "yolo-nano.pt"
            sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
            settings: dict[str, Any] = {"sha256": sha256, "imgsz": 320}
            return LoadSpec(name, "yolo", str(path), device, settings=settings)
        case "clip-doom":
            return LoadSpec(name, "clip", str(MODELS / "clip-doom"), device)
        case _:
            path = folder / "open_clip_model.safetensors"
            subprocess.run([sys.executable, "-c", _LARGE, str(path)], check=True)
            settings = {"architecture": "ViT-B-32"}
            return LoadSpec(name, "clip", str(path), device, settings=settings)


def forget(spec: LoadSpec) -> None:
    """Let the page cache forget the model's files."""
    path = Path(spec.path or "")
    for file in [path] if path.is_file() else path.iterdir():
        drop(file)


def memcpy_bytes_per_s() -> float:
    """The machine's own speed of copying memory, the best of five."""
    source, target = np.ones(_MEMCPY_BYTES, np.uint8), np.zeros(_MEMCPY_BYTES, np.uint8)
    took: list[float] = []
    for _ in range(5):
        started_s = time.perf_counter()
        np.copyto(target, source)
        took.append(time.perf_counter() - started_s)
    return _MEMCPY_BYTES / min(took)


@asynccontextmanager
async def worker(spec: LoadSpec) -> AsyncIterator[WorkerProcess]:
    """A new process, ended with the context."""
    cards = () if spec.torch_device == "cpu" else ("0",)
    process = await WorkerProcess.start("torch", cuda_uuids=cards)
    try:
        yield process
    finally:
        await process.stop()


async def load_s(process: WorkerProcess, spec: LoadSpec) -> float:
    """Seconds of one load."""
    started_s = time.perf_counter()
    report = await process.load(spec)
    took_s = time.perf_counter() - started_s
    if report.warm != (spec.warm is not None):
        raise RuntimeError(f"{spec.name}: the warm copy was {'' if report.warm else 'not '}used")
    return took_s


async def one_round(spec: LoadSpec, rows: dict[str, list[float]]) -> int:
    """All ways once; the bytes of the copy."""
    await asyncio.to_thread(forget, spec)
    started_s = time.perf_counter()
    async with worker(spec) as process:
        await process.load(spec)
        rows["cold: new process, from disk"].append(time.perf_counter() - started_s)
        segment = Segment()
        try:
            started_s = time.perf_counter()
            copy = await process.keep(spec.name, segment.address, LIMIT_BYTES, timeout_s=120)
            rows["keep"].append(time.perf_counter() - started_s)
            segment.hold(copy.size_bytes)
            await process.unload(spec.name)
            await _warm_ways(spec, copy, process, rows)
        finally:
            segment.close()
    return copy.size_bytes


async def _warm_ways(
    spec: LoadSpec, copy: WarmCopy, running: WorkerProcess, rows: dict[str, list[float]]
) -> None:
    warm = msgspec.structs.replace(spec, warm=copy)
    for name, each in (("running process, from file", spec), ("running process, warm", warm)):
        rows[name].append(await load_s(running, each))
        await running.unload(spec.name)
    started_s = time.perf_counter()
    async with worker(spec) as process:
        await process.load(warm)
        rows["warm: new process"].append(time.perf_counter() - started_s)
    async with worker(spec) as process:
        rows["(imports of the standby)"].append(await process.prepare((spec.backend,)))
        rows["warm + standby"].append(await load_s(process, warm))


async def measure(specs: list[LoadSpec], rounds: int) -> dict[str, Any]:
    """Every model, every way."""
    told: dict[str, Any] = {"memcpy_gb_per_s": memcpy_bytes_per_s() / 1e9, "models": {}}
    for spec in specs:
        rows: dict[str, list[float]] = defaultdict(list)
        size = 0
        for _ in range(rounds):
            size = await one_round(spec, rows)
        medians = {way: statistics.median(took) for way, took in rows.items()}
        told["models"][spec.name] = {"copy_bytes": size, "seconds": medians, "all": rows}
    return told


def show(told: dict[str, Any]) -> None:
    """The table for people."""
    print(f"memcpy: {told['memcpy_gb_per_s']:.1f} GB/s, one thread")
    for name, model in told["models"].items():
        size, took = model["copy_bytes"], model["seconds"]
        cold_s = took["cold: new process, from disk"]
        print(f"\n{name}: a copy of {size / 1e6:.1f} MB")
        for way, seconds in took.items():
            rate = f"{size / seconds / 1e9:6.2f} GB/s" if not way.startswith("(") else ""
            less = f"{cold_s / seconds:7.1f} x" if "warm" in way else ""
            print(f"  {way:32s} {seconds:8.3f} s  {rate:12s} {less}")


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*", default=list(_NAMES[:2]))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        specs = [make_spec(name, asked.device, Path(folder)) for name in asked.models]
        told = asyncio.run(measure(specs, asked.rounds))
    show(told)
    if asked.json is not None:
        asked.json.write_text(json.dumps(told, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
