"""How fast the cards are given to a game, and taken back: ``python benchmarks/yielding.py``.

The whole of Danzar below Discord runs on simulated cards with the shipped models, whose workers
are real processes. A simulated game takes 6 GiB of a card; later it ends; then one flaps. Three
models hold 7 GiB of that card, as three larger ones would (``memory`` in models.yaml).
"""

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from danzar.config.load import load_config
from danzar.config.settings import Config
from danzar.services import Services, open_services
from danzar.telemetry.simulated_game import SimulatedGames
from danzar.units import GIB

ROOT = Path(__file__).parents[1]
GAME_BYTES = 6 * GIB
# The seeds' 8 GiB for the chat model, beside two vision models on the same card.
_MEMORY = {"smollm2": 4 * GIB, "yolo-nano": int(1.5 * GIB), "clip-doom": int(1.5 * GIB)}
_VISION = ("yolo-nano", "clip-doom")


def config_for(folder: Path) -> Config:
    """The shipped settings, all three models on one simulated card of 12 GiB."""
    environ = {
        "DANZAR_VRAM__TELEMETRY__MODE": "simulated",
        "DANZAR_BOT__DATA_DIR": str(folder),
        "DANZAR_VISION__GPU_MEMORY__VISION_DEVICE": "cuda:0",
        "DANZAR_VISION__GPU_MEMORY__MAIN_LLM_MEMORY_RESERVATION_GB": "0",
        "DANZAR_VISION__GPU_MEMORY__VISION_MEMORY_LIMIT_GB": "12",
    }
    config = load_config(ROOT / "config", environ=environ)
    models = {
        name: entry.model_copy(update={"memory": _MEMORY.get(name, entry.memory)})
        for name, entry in config.models.models.items()
    }
    return config.model_copy(update={"models": config.models.model_copy(update={"models": models})})


@asynccontextmanager
async def danzar() -> AsyncIterator[Services]:
    """The services with all three models loaded."""
    with TemporaryDirectory() as folder:
        async with open_services(config_for(Path(folder))) as services:
            for name in _MEMORY:
                await services.manager.load(name)
            yield services


def loaded(services: Services) -> set[str]:
    return {m.name for m in services.manager.models() if m.is_loaded and m.name in _MEMORY}


async def until(condition: Callable[[], bool]) -> float:
    began_s = time.monotonic()
    while not condition():
        await asyncio.sleep(0.02)
    return time.monotonic() - began_s


async def measure(play_s: float, flaps: int) -> dict[str, object]:
    async with danzar() as services:
        games, card = SimulatedGames(services.telemetry), services.telemetry.uuids[0]
        began_s = time.monotonic()
        await games.take(card, GAME_BYTES)
        game_has_all_s = time.monotonic() - began_s
        stayed = loaded(services)
        await asyncio.sleep(play_s)
        games.end(card)
        back_s = await until(lambda: loaded(services) == set(_MEMORY))
        moves_before = len(services.manager.decisions)
        for _ in range(flaps):
            await games.take(card, GAME_BYTES)
            await asyncio.sleep(2)
            games.end(card)
            await asyncio.sleep(13)
        moves = [d for d in services.manager.decisions[moves_before:] if d.model in _VISION]
        return {
            "game_has_its_6_gib_after_s": round(game_has_all_s, 2),
            "models_that_stayed": sorted(stayed),
            "all_back_after_s": round(back_s, 2),
            "flaps": flaps,
            "moves_while_flapping": [f"{d.kind} {d.model}" for d in moves],
        }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--play-s", type=float, default=61.0)
    parser.add_argument("--flaps", type=int, default=8)
    wanted = parser.parse_args()
    print(json.dumps(asyncio.run(measure(wanted.play_s, wanted.flaps)), indent=1))


if __name__ == "__main__":
    main()
