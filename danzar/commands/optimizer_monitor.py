"""``danzar optimizer monitor``: the running bot asked again and again, shown as it changes."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from danzar.commands.optimizer import ask
from danzar.commands.optimizer_print import batch_text, cards
from danzar.commands.terminal import console
from danzar.config.settings import Config
from danzar.explain.model_text import amount
from danzar.optimizer.wishes import Status

Json = dict[str, Any]


async def monitor(config: Config, duration_s: float, interval_s: float, *, quiet: bool) -> Json:
    """Every look, with its time; on a terminal a table that follows, else a line for each.

    Raises:
        danzar.errors.DanzarError: No bot runs, or it ended meanwhile.
    """
    screen = Console(stderr=True, quiet=True) if quiet else console()
    begun_s = time.monotonic()
    samples: list[Json] = []
    bar = Progress(TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    task = bar.add_task("monitoring", total=duration_s)
    with Live(console=screen, auto_refresh=screen.is_terminal, transient=False) as live:
        while True:
            status = await ask(config, Status())
            samples.append(_sample(status))
            lasted_s = time.monotonic() - begun_s
            bar.update(task, completed=min(duration_s, lasted_s))
            if screen.is_terminal:
                heading = f"batch {batch_text(status)}, {datetime.now().astimezone():%H:%M:%S}"
                live.update(Group(heading, cards(status["devices"]), bar))
            else:
                screen.print(_line(samples[-1]), soft_wrap=True)
            next_s = interval_s * (lasted_s // interval_s + 1)
            if next_s > duration_s:
                return {"duration_s": duration_s, "interval_s": interval_s, "samples": samples}
            await asyncio.sleep(next_s - lasted_s)


def _sample(status: Json) -> Json:
    return {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "batch_size": status["batch_size"],
        "devices": status["devices"],
    }


def _line(sample: Json) -> str:
    at = datetime.fromisoformat(sample["at"]).astimezone()
    return f"{at:%H:%M:%S} batch {sample['batch_size']}, " + ", ".join(
        f"{d['device']}{' (simulated)' if d['simulated'] else ''} {amount(d['used_bytes'])} of "
        f"{amount(d['total_bytes'])}"
        for d in sample["devices"]
    )
