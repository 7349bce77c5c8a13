"""``danzar jobs``: asks the Danzar that runs here, and prints what it says."""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
from rich.console import Console

from danzar.commands.terminal import table
from danzar.config.places import data_folder
from danzar.config.settings import Config
from danzar.errors import BadInput
from danzar.jobs.control import PATH, Answer, AnyWish
from danzar.live.asking import NoBot, posted
from danzar.live.control import find_bots

Json = dict[str, Any]

_TIMEOUT_S = 60.0


async def ask(config: Config, wish: AnyWish) -> Json:
    """What the Danzar that runs with these settings answers.

    Raises:
        NoBot: None runs.
        danzar.errors.BadInput: It refused; the message is its own.
        danzar.live.asking.BotSilent: It is there and does not answer.
    """
    patience = aiohttp.ClientTimeout(total=_TIMEOUT_S)
    for address in find_bots(data_folder(config), config.folder):
        async with posted(address, PATH, wish, patience) as body:
            if body is None:
                continue
            answer = msgspec.json.decode(await body.read(), type=Answer)
            if answer.refused is not None:
                raise BadInput(answer.refused)
            return answer.body
    raise NoBot(
        f"no Danzar is running with the settings in {config.folder}; start one with `danzar run`, "
        "`danzar serve` or `danzar demo`"
    )


def print_jobs(answer: Json, console: Console) -> None:
    """One row for each job, the newest first."""
    rows = table("job", "model", "state", "accepted", "took", "node", "device", "remark")
    rows.columns[0].no_wrap = True  # to be copied
    for job in answer["jobs"]:
        rows.add_row(
            job["job_id"],
            job["model"],
            _state(job),
            _clock(job["submitted_at"]),
            _took(job),
            job["node"] or "-",
            job["device"] or "-",
            job["error"] or job["degraded"] or "",
        )
    if rows.row_count:
        console.print(rows)
    else:
        console.print("No job has been accepted here lately.")
    for model, count in answer["waiting"].items():
        console.print(f"{count} wait for {model}.")


def print_job(answer: Json, console: Console) -> None:
    """Everything about one job, and its text."""
    job = answer["job"]
    rows = table("what", "")
    for name in ("job_id", "model", "owner", "priority", "attempt", "node", "device"):
        if job[name] is not None:
            rows.add_row(name.replace("_id", ""), str(job[name]))
    rows.add_row("state", _state(job))
    rows.add_row("accepted", _clock(job["submitted_at"]))
    rows.add_row("took", _took(job))
    for name in ("degraded", "error"):
        if job[name] is not None:
            rows.add_row(name, job[name])
    console.print(rows)
    result = answer.get("result")
    if result is None:
        return
    if result["text"]:
        console.print(f"\n{result['text']}")
    if result["files"]:
        console.print(f"\n{result['files']} file(s); --output FILE keeps the first.")


def keep_file(answer: Json, file: Path) -> None:
    """Write a job's first file, or else its text.

    Raises:
        danzar.errors.BadInput: It has no result yet, or the file can't be written.
    """
    result = answer["result"]
    if result is None:
        raise BadInput(f"job {answer['job']['job_id']} is {answer['job']['state']}: no result")
    data = base64.b64decode(result["data"][0]) if result["data"] else result["text"].encode()
    try:
        file.write_bytes(data)
    except OSError as exc:
        raise BadInput(f"{file}: can't be written: {exc.strerror}") from exc


def _state(job: Json) -> str:
    if job["state"] == "queued" and job["position"] is not None:
        return f"queued, number {job['position']}"
    if job["state"] == "running" and job["progress"] is not None:
        return f"running, {100 * job['progress']:.0f} %"
    return str(job["state"])


def _clock(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _took(job: Json) -> str:
    if job["started_at"] is None or job["ended_at"] is None:
        return "-"
    return f"{max(0.0, job['ended_at'] - job['started_at']):.1f} s"
