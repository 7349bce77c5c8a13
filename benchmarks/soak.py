"""Danzar as its user runs it, for hours, under everything at once: what grows, lags or gets lost.

    python -m benchmarks.soak --duration 2h --out FOLDER
    python -m benchmarks.soak --report FOLDER            (at any time, while it runs as well)

The real bot with its real workers and small models on simulated cards, a local Discord with people
who chat, post pictures, watch and use commands, and programs at the HTTP API. SIGTERM or Ctrl-C
end it early, in order and with a report. docs/soak.md tells what the figures mean.
"""

import argparse
import asyncio
import json
import signal
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import aiohttp

from benchmarks.soak_api import Programs
from benchmarks.soak_ground import ROOT, Ground, open_ground
from benchmarks.soak_load import Load
from benchmarks.soak_page import Page
from benchmarks.soak_report import log_counts, print_report
from benchmarks.soak_samples import Watcher, append
from danzar.commands.demo import free_port

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0}
_DRAIN_S = 300.0
_WARM_UP_S = 1800.0
_LOG_EVERY_S = 60.0


def seconds(text: str) -> float:
    """``90``, ``45s``, ``20m`` or ``2h`` as seconds."""
    unit = _UNITS_S.get(text[-1:])
    return float(text) if unit is None else float(text[:-1]) * unit


async def soak(options: argparse.Namespace) -> None:
    """Run it to its end or until told to stop."""
    folder: Path = options.out
    await asyncio.to_thread(folder.mkdir, parents=True)
    meta = {
        "began": datetime.now(UTC).isoformat(timespec="seconds"),
        "duration_s": options.duration,
        "warm_up_s": _WARM_UP_S if options.warm_up is None else options.warm_up,
        "rate": options.rate,
        "seed": options.seed,
    }
    append(folder / "meta.json", meta)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        with suppress(NotImplementedError):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with open_ground(folder, free_port()) as ground:
        await _under_load(ground, options, stop)


async def _under_load(ground: Ground, options: argparse.Namespace, stop: asyncio.Event) -> None:
    folder: Path = options.out
    origin = {"Origin": ground.page_url}
    async with (
        aiohttp.ClientSession(headers=origin) as people,
        aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as machines,
        asyncio.TaskGroup() as tasks,
    ):
        page, programs = Page(people, ground.page_url), Programs(machines, ground.api_url)
        following = tasks.create_task(page.follow())
        await page.ready()
        frames = sorted((ROOT / "assets" / "frames").glob("*.png"))
        load = Load(page, programs, frames, folder / "acts.jsonl", options.seed)
        watcher = Watcher(ground, machines, folder / "samples.jsonl")
        watching = tasks.create_task(watcher.run(options.every))
        logging = tasks.create_task(_count_log(ground, folder))
        working = tasks.create_task(_work(load, options))
        await _until(options.duration, stop)
        load.end()
        await asyncio.wait([working], timeout=_DRAIN_S)
        for task in (working, watching, logging, following):
            task.cancel()
        end = {"audit": await programs.audit(), "alerts": page.alerts, "edits": page.edits}
        append(folder / "end.jsonl", {**end, "log": log_counts(ground.log_file)})


async def _work(load: Load, options: argparse.Namespace) -> None:
    if options.fill:
        await load.fill()
    await load.run(options.rate)


async def _until(duration_s: float, stop: asyncio.Event) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(duration_s):
            await stop.wait()


async def _count_log(ground: Ground, folder: Path) -> None:
    """Keep the counts of the log's lines up to date beside the samples."""
    while True:
        await asyncio.sleep(_LOG_EVERY_S)
        counts = await asyncio.to_thread(log_counts, ground.log_file)
        text = json.dumps({"at": time.time(), **counts})
        await asyncio.to_thread((folder / "log.json").write_text, text, encoding="utf-8")


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--duration", type=seconds, default=7200.0, help="for example 2h")
    parser.add_argument("--warm-up", type=seconds, metavar="TIME", help="not judged; 30m")
    parser.add_argument("--rate", type=float, default=1.0, help="2 asks twice as often")
    parser.add_argument("--every", type=seconds, default=15.0, help="between two samples")
    parser.add_argument(
        "--fill", action=argparse.BooleanOptionalAction, default=True, help="full channels at first"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, help="a new folder for what is measured")
    parser.add_argument("--report", type=Path, metavar="FOLDER", help="only print its report")
    options = parser.parse_args()
    if options.report is None and options.out is None:
        parser.error("say where to: --out FOLDER, or which one to report: --report FOLDER")
    if options.report is None:
        asyncio.run(soak(options))
    print_report(options.report or options.out, options.warm_up)


if __name__ == "__main__":
    main()
