"""``danzar gpu``: the cards, on the terminal and as JSON."""

from collections.abc import Sequence
from typing import Any

import aiohttp
from rich.console import Console

from danzar.commands.services import services_once
from danzar.commands.terminal import table
from danzar.config.settings import Config
from danzar.core.book import WARM_PURPOSE
from danzar.core.device_text import short_name
from danzar.core.vision_device import VisionChoice
from danzar.explain.memory_text import log_lines
from danzar.http.status_json import devices_json
from danzar.units import format_gib

_BOT_TIMEOUT_S = 1.5
Json = dict[str, Any]


async def status(config: Config) -> Json:
    """All devices; as the running bot sees them where one is running here, with its leases."""
    running = await _ask_bot(config)
    if running is not None:
        return {"source": "bot", "devices": running["devices"], "recommendations": None}
    async with services_once(config) as services:
        memory = services.gpu_memory_manager
        return {
            "source": "driver",
            "devices": devices_json(memory.devices())["devices"],
            "recommendations": memory.get_memory_recommendations(),
        }


async def vision(config: Config) -> Json:
    """The device that vision should use now, and why."""
    async with services_once(config) as services:
        memory = services.gpu_memory_manager
        simulated = {d.snapshot.uuid for d in memory.devices() if d.snapshot.simulated}
        return _choice_json(memory.vision_choice(), simulated)


async def log(config: Config) -> Json:
    """The cards' state as the lines that go to the log."""
    async with services_once(config) as services:
        memory = services.gpu_memory_manager
        lines = log_lines(memory.devices(), memory.history, memory.stale_age_s)
        advice = memory.get_memory_recommendations()
        return {"lines": [*lines, *(f"gpu memory: {line}" for line in advice)]}


def print_status(answer: Json, console: Console) -> None:
    """A table, then what to do."""
    cards = table("device", "name", "used", "free", "total", "kept", "Danzar", "others", "load")
    for device in answer["devices"]:
        cards.add_row(*_row(device))
    console.print(cards)
    if answer["source"] == "bot":
        console.print("\nAs the running bot sees them.", style="dim")
    for line in answer["recommendations"] or ():
        console.print(f"- {line}")


def print_vision(answer: Json, console: Console) -> None:
    """The choice, its reason, and every device that was considered."""
    mark = " (simulated)" if answer["simulated"] else ""
    console.print(f"Device: {answer['device'] or 'none'}{mark}", style="bold")
    console.print(f"Reason: {answer['reason']}")
    for verdict in answer["considered"]:
        console.print(f"  {'yes' if verdict['usable'] else 'no ':<3}  {verdict['reason']}")


def print_log(answer: Json, console: Console) -> None:
    """The lines."""
    for line in answer["lines"]:
        console.print(line, soft_wrap=True)


def _choice_json(choice: VisionChoice, simulated: set[str]) -> Json:
    return {
        "device": choice.label,
        "uuid": choice.device_uuid,
        "simulated": choice.device_uuid in simulated,
        "reason": choice.reason,
        "considered": [
            {"device": c.label, "uuid": c.device_uuid, "usable": c.usable, "reason": c.reason}
            for c in choice.considered
        ],
    }


def _title(lease: Json) -> str:
    return f"warm {lease['model']}" if lease["purpose"] == WARM_PURPOSE else str(lease["model"])


def _row(device: Json) -> Sequence[str]:
    used, total = device["used_bytes"], device["total_bytes"]
    share = f" ({100 * used / total:.0f}%)" if used is not None and total else ""
    kept = (f"{r['purpose']} {format_gib(r['bytes'])}" for r in device["reservations"])
    own = (f"{_title(x)} {format_gib(x['bytes'])}" for x in device["leases"])
    return (
        device["label"],
        f"{short_name(device['name'])}{' (simulated)' if device['simulated'] else ''}",
        f"{_size(used)}{share}",
        _size(device["free_bytes"]),
        _size(total),
        ", ".join(kept) or "-",
        ", ".join(own) or "-",
        _size(device["foreign_bytes"]),
        _load(device),
    )


def _size(size_bytes: int | None) -> str:
    return "unknown" if size_bytes is None else format_gib(size_bytes)


def _load(device: Json) -> str:
    busy, heat = device["utilisation_pct"], device["temperature_c"]
    parts = [
        *([] if busy is None else [f"{busy:.0f}%"]),
        *([] if heat is None else [f"{heat:.0f} C"]),
    ]
    return " ".join(parts) or "unknown"


async def _ask_bot(config: Config) -> Json | None:
    """What the bot on this machine tells; ``None`` where none answers."""
    http = config.bot.http
    if not http.enabled or http.port == 0:
        return None
    timeout = aiohttp.ClientTimeout(total=_BOT_TIMEOUT_S)
    url = f"{http.local_url}/v1/devices"
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(url, ssl=False) as response,
        ):
            body: Json = await response.json()
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
        return None
    return body if body.get("version") == 1 and "devices" in body else None
