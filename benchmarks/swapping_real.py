"""The mixed load of benchmarks/swapping.py on real workers: one simulated 8 GB card, real models.

    uv run python -m benchmarks.swapping_real                   four minutes
    uv run python -m benchmarks.swapping_real --seconds 120 --requests 60 --json

The whole of Danzar below Discord runs; every engine's process is started and ended for real. The
models are small ones (SmolLM2, YOLO, CLIP, an untrained SDXL pipeline of 64 x 64 pixels) whose
footprints are declared so that they exclude each other as those of ``eight-gig.yaml`` do; the card
is simulated and the computing is done by the CPU. The hour of the trace is pressed into the time
given, so that waits are longer in proportion than they would be. A bound of waiting is a wish; what
must not happen is an answer that is neither a result nor a refusal with its reason.
"""

import argparse
import asyncio
import json
import random
import shutil
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from danzar.commands.described import read_world
from danzar.config.load import load_config
from danzar.config.models import ModelEntry
from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.core.book import LeaseState
from danzar.core.device import CPU_UUID
from danzar.errors import DanzarError
from danzar.inference import Outcome
from danzar.services import Services, open_services
from danzar.simulate.makers import make_trace
from danzar.simulate.mixed import HOUR_S
from danzar.simulate.percentile import percentile
from danzar.simulate.trace import Ask
from danzar.units import GIB, MIB
from danzar.workers.contract import (
    ChatMessage,
    Detect,
    Generate,
    GenerateImages,
    Picture,
    Rank,
    Request,
)
from tests.tiny_pipelines import add_tiny, tiny_pipelines

ROOT = Path(__file__).parents[1]
CARD = 8 * GIB
# Who plays whom, and what each is said to take: weights, caches, activations, CUDA context.
CAST = {
    "chat-7b": "smollm2",
    "sdxl-turbo": "tiny-turbo",
    "clip-vit-l": "clip-doom",
    "yolo11s": "yolo-nano",
}
MEMORY = {
    "smollm2": int(5.5 * GIB),
    "tiny-turbo": int(6.5 * GIB),
    "clip-doom": 950 * MIB,
    "yolo-nano": 350 * MIB,
}
_LONGEST_S = 600.0


@dataclass(slots=True)
class Tally:
    """What came of the requests."""

    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    waits_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    most_leased: int = 0
    pids: set[int] = field(default_factory=set)


def config_for(folder: Path) -> Config:
    """The shipped settings with one card and four models that exclude each other there."""
    environ = {
        "DANZAR_VRAM__TELEMETRY__MODE": "simulated",
        "DANZAR_VRAM__TELEMETRY__SIMULATED_CARDS": json.dumps(
            [{"name": "NVIDIA GeForce RTX 4060", "memory": CARD}]
        ),
        "DANZAR_VRAM__PLACEMENT__PRELOAD": "false",
        "DANZAR_VRAM__PREDICTION__ENABLED": "false",
        "DANZAR_BOT__DATA_DIR": str(folder / "data"),
        "DANZAR_VISION__GPU_MEMORY__VISION_DEVICE": "cuda:0",
        "DANZAR_VISION__GPU_MEMORY__MAIN_LLM_MEMORY_RESERVATION_GB": "0",
        "DANZAR_VISION__GPU_MEMORY__VISION_MEMORY_LIMIT_GB": "8",
        # Vision models swap like the others, too, instead of leaving a full card alone.
        "DANZAR_VISION__GPU_MEMORY__CPU_FALLBACK_THRESHOLD_GB": "0",
    }
    config = load_config(ROOT / "config", environ=environ)
    # A project folder of its own, so that the untrained pipeline need not lie in the real one.
    for name in ("assets", "models"):
        shutil.copytree(ROOT / name, folder / name)
    entry = add_tiny(folder, tiny_pipelines(folder), "turbo")
    models = {**config.models.models, "tiny-turbo": ModelEntry.model_validate(entry)}
    for name, memory in MEMORY.items():
        models[name] = models[name].model_copy(update={"memory": memory, "allow_cpu": False})
    use = config.models.use.model_copy(update={"imagine": "tiny-turbo"})
    changed = config.models.model_copy(update={"models": models, "use": use})
    return config.model_copy(update={"models": changed, "root": folder})


def asks(seed: int, requests: int, seconds: float) -> list[Ask]:
    """The trace of the simulation, pressed together."""
    world = read_world(ROOT / "config/examples/eight-gig.yaml")
    trace = make_trace(f"mixed:{seed}:{requests}", world) or ()
    return [
        Ask(
            ask.at_s * seconds / HOUR_S,
            CAST[ask.model],
            None,
            ask.request_class or RequestClass.CHAT,
            ask.person,
        )
        for ask in trace
        if isinstance(ask, Ask)
    ]


def request_for(model: str) -> Request:
    picture = Picture(320, 240, "rgb", random.Random(1).randbytes(320 * 240 * 3))
    match model:
        case "smollm2":
            return Generate((ChatMessage("user", "Say one sentence about ships."),), max_tokens=24)
        case "tiny-turbo":
            return GenerateImages("a ship at sea", width=64, height=64, steps=2, seed=1)
        case "clip-doom":
            return Rank((picture,), ("a menu", "an enemy in front of the player"))
        case _:
            return Detect((picture,), 0.4)


async def run_one(services: Services, ask: Ask, begun_s: float, tally: Tally) -> None:
    await asyncio.sleep(max(0.0, begun_s + ask.at_s - time.monotonic()))
    kind = ask.request_class or RequestClass.CHAT
    try:
        async with asyncio.timeout(_LONGEST_S):
            outcome = await services.manager.call(
                ask.model, request_for(ask.model), asker=Asker(kind, ask.person)
            )
    except DanzarError as exc:
        tally.refused[f"{type(exc).__name__}: {exc}"] += 1
    except Exception as exc:  # noqa: BLE001 - whatever it is, it is what this looks for
        tally.errors.append(f"{ask.model}: {type(exc).__name__}: {exc}")
    else:
        assert isinstance(outcome, Outcome)
        tally.answered[str(kind)] += 1
        tally.waits_s[str(kind)].append(outcome.waited_s)


async def look(services: Services, tally: Tally) -> None:
    """See ever again that no more is booked than there is.

    What an unload is giving back is left out: the driver may show it free before that is told.
    """
    ledger = services.manager.scheduler.ledger
    while True:
        held = (x for x in ledger.leases() if x.state in (LeaseState.CLAIMED, LeaseState.RESIDENT))
        leased = sum(x.size_bytes for x in held if x.device_uuid != CPU_UUID)
        tally.most_leased = max(tally.most_leased, leased)
        tally.pids |= set(services.manager.worker_pids())
        await asyncio.sleep(0.05)


async def measure(seed: int, requests: int, seconds: float, policy: str) -> dict[str, Any]:
    tally = Tally()
    with TemporaryDirectory() as folder:
        config = config_for(Path(folder))
        placement = config.vram.placement.model_copy(update={"policy": policy})
        vram = config.vram.model_copy(update={"placement": placement})
        async with open_services(config.model_copy(update={"vram": vram})) as services:
            begun_s = time.monotonic()
            watcher = asyncio.create_task(look(services, tally))
            async with asyncio.TaskGroup() as group:
                for ask in asks(seed, requests, seconds):
                    group.create_task(run_one(services, ask, begun_s, tally))
            took_s = time.monotonic() - begun_s
            watcher.cancel()
            with suppress(asyncio.CancelledError):
                await watcher
            kinds = Counter(str(d.kind) for d in services.manager.decisions)
    return {
        "policy": policy,
        "seconds": round(took_s, 1),
        "answered": dict(tally.answered),
        "refused": dict(tally.refused),
        "errors": tally.errors,
        "decisions": dict(kinds),
        "worker_processes": len(tally.pids),
        "most_leased_gib": round(tally.most_leased / GIB, 2),
        "card_gib": CARD / GIB,
        "waits_s": {kind: figures(waits) for kind, waits in sorted(tally.waits_s.items())},
    }


def figures(waits_s: Sequence[float]) -> dict[str, float]:
    ordered = sorted(waits_s)
    marks = {"p50": percentile(ordered, 50), "p99": percentile(ordered, 99), "max": ordered[-1]}
    return {key: round(value, 2) for key, value in marks.items()}


def show(row: dict[str, Any]) -> None:
    print(
        f"{row['policy']}: {sum(row['answered'].values())} answered, "
        f"{sum(row['refused'].values())} refused, {len(row['errors'])} errors in "
        f"{row['seconds']:.0f} s; {row['worker_processes']} worker processes, {row['decisions']}; "
        f"at most {row['most_leased_gib']} of {row['card_gib']:.0f} GiB booked (simulated card)"
    )
    for kind, waits in row["waits_s"].items():
        print(f"  {kind:<8} waited {waits['p50']} s (median), {waits['p99']} s (99 %)")
    for text, count in row["refused"].items():
        print(f"  {count} x {text}")
    for text in row["errors"]:
        print(f"  ERROR {text}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=240.0, help="Between first and last.")
    parser.add_argument("--requests", type=int, default=120)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--policies", nargs="+", default=["cost"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for policy in options.policies:
        load = measure(options.seed, options.requests, options.seconds, policy)
        rows.append(asyncio.run(load))
        if not options.json:
            show(rows[-1])
    if options.json:
        print(json.dumps(rows, indent=2))


if __name__ == "__main__":
    main()
