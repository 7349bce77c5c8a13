"""The bot that runs on this machine, asked through its status API (docs/status-api.md)."""

from datetime import datetime
from itertools import groupby
from typing import Any

import aiohttp
from rich.console import Console

from danzar.commands.terminal import table
from danzar.config.settings import Config
from danzar.errors import BadInput
from danzar.explain.model_text import amount
from danzar.live.asking import NoBot

_TIMEOUT_S = 5.0
_API_VERSION = 1
_OK = 200
Json = dict[str, Any]


async def ask(config: Config, what: str, **query: str) -> Json:
    """The body of ``GET /v1/{what}`` without its version.

    Raises:
        NoBot: None answers on the configured port.
        BadInput: It refused the question; the message is its own.
    """
    status, body = await _get(_address(config), what, query)
    if status != _OK:
        raise BadInput(str(body.get("error", f"the bot answered {status}")))
    if body.pop("version", None) != _API_VERSION:
        raise NoBot("the bot that runs here is of another version; update both")
    return body


def print_models(answer: Json, console: Console) -> None:
    """One row for each model."""
    rows = table("model", "state", "device", "booked", "estimate", "reload", "wanted", "notes")
    for model in answer["models"]:
        rows.add_row(
            model["name"],
            model["state"],
            model["device"] or "-",
            "-" if model["bytes"] is None else amount(model["bytes"]),
            amount(_estimated_bytes(model)),
            f"{model['reload_s']:.1f} s",
            f"{100 * model['use_probability']:.0f}%",
            _marks(model),
        )
    console.print(rows)
    for model in answer["models"]:
        for note in filter(None, (model["degraded"], model["error"])):
            console.print(f"{model['name']}: {note}", soft_wrap=True)
    simulated = {m["device"] for m in answer["models"] if m["simulated"]}
    if simulated:
        console.print(f"Simulated: {', '.join(sorted(simulated))}", style="dim")


def print_explanation(answer: Json, console: Console) -> None:
    """What was decided, what each device had, and what was weighed."""
    console.print(answer["text"], style="bold")
    console.print(answer["reason"], soft_wrap=True)
    if not answer["dry_run"]:
        console.print(f"decided {answer['age_s']:.0f} s ago", style="dim")
    console.print("\nWhat each device had", style="bold")
    for device in answer["devices"]:
        console.print(f"  {device['device']}: {device['text']}", soft_wrap=True)
    console.print("\nWhat was weighed, best first", style="bold")
    for way, group in groupby(answer["weighed"], key=lambda row: row["way"]):
        console.print(f"  {way}")
        for row in group:
            mark = "->" if row["chosen"] else "  "
            console.print(f"  {mark} {row['device']}: {row['text']}", soft_wrap=True)
    for left in answer["leaving"]:
        console.print(f"leaves first: {left['text']}", soft_wrap=True)


def print_history(answer: Json, console: Console) -> None:
    """One line for each step, oldest first."""
    if not answer["decisions"]:
        console.print("Nothing was loaded or unloaded yet.")
    for step in answer["decisions"]:
        at = datetime.fromisoformat(step["at"]).astimezone()
        console.print(f"{at:%H:%M:%S} {step['text']}", soft_wrap=True)


def print_prefetch(answer: Json, console: Console) -> None:
    """The accounts, what is there before anybody asked, and what is expected."""
    console.print(answer["text"], style="bold", soft_wrap=True)
    for ahead in answer["ahead"]:
        console.print(f"now: {ahead['text']}", soft_wrap=True)
    for expected in answer["expected"]:
        console.print(f"may be asked for: {expected['text']}", soft_wrap=True)
    for model in answer["models"]:
        console.print(model["text"], soft_wrap=True)


def _estimated_bytes(model: Json) -> int:
    """What was booked for it where it runs; for one that is not loaded, what it would need."""
    on_gpus = [s for s in model["shares"] if s["uuid"] != "cpu"] or model["shares"]
    return sum(s["estimated_bytes"] for s in on_gpus) or int(model["estimated_bytes"])


def _marks(model: Json) -> str:
    marks = [word for word in ("pinned", "protected", "yielded") if model[word]]
    waiting = [f"{model['queue']} waiting"] if model["queue"] else []
    return ", ".join((*marks, *waiting))


def _address(config: Config) -> str:
    http = config.bot.http
    if not http.enabled or http.port == 0:
        raise NoBot(
            "the bot can't be asked: http.enabled is false or http.port is 0 in bot_config.yaml"
        )
    return http.local_url


async def _get(address: str, what: str, query: dict[str, str]) -> tuple[int, Json]:
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout) as session,
            session.get(f"{address}/v1/{what}", params=query, ssl=False) as response,
        ):
            body = await response.json()
    except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as exc:
        raise NoBot(
            f"no bot answers at {address}; start one with `danzar run` or `danzar demo`"
        ) from exc
    return response.status, body if isinstance(body, dict) else {}
