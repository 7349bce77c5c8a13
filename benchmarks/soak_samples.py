"""What the soak looks at again and again: each process of Danzar, each file, the bot's own word."""

import asyncio
import json
import re
import sqlite3
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.soak_ground import Ground

Json = dict[str, Any]
_GONE = (
    psutil.NoSuchProcess,
    psutil.ZombieProcess,
    psutil.AccessDenied,
    ProcessLookupError,
    FileNotFoundError,
)
_ROLES = {"demo": "demo", "danzar.local": "local discord", "run": "bot"}
_WORKER = "danzar.workers.child"
_CHAT_WORKER = "worker llama"
_PROMPT_CACHE = re.compile(r"^danzar_prompt_cache_bytes\{.*\} (\S+)$", re.MULTILINE)
_STATUS_TIMEOUT_S = 10.0


class Watcher:
    """Writes a line of ``samples.jsonl`` every ``every_s`` seconds."""

    def __init__(self, ground: Ground, session: aiohttp.ClientSession, file: Path) -> None:
        self._ground = ground
        self._session = session
        self._file = file
        self._began_s = time.monotonic()

    async def run(self, every_s: float) -> None:
        """Sample until cancelled."""
        while True:
            began_s = time.monotonic()
            await self.sample()
            await asyncio.sleep(max(0.0, every_s - (time.monotonic() - began_s)))

    async def sample(self) -> None:
        """Look once."""
        status, cached_bytes = await self._status(), await self._cached_bytes()
        line = await asyncio.to_thread(self._look)
        line["status"] = status
        for process in line["processes"]:
            if cached_bytes is not None and process["role"].startswith(_CHAT_WORKER):
                process["cached"] = cached_bytes
        await asyncio.to_thread(append, self._file, line)

    def _look(self) -> Json:
        workers = worker_names(self._ground.data)
        family = [self._ground.process, *self._ground.process.children(recursive=True)]
        processes = [found for p in family if (found := look_at(p, workers)) is not None]
        return {
            "at_s": round(time.monotonic() - self._began_s, 1),
            "processes": processes,
            "files": file_sizes({"data": self._ground.data, "home": self._ground.home}),
            "load": psutil.getloadavg()[0],
            "available_bytes": psutil.virtual_memory().available,
        }

    async def _status(self) -> Json | None:
        """The bot's lag, and what it has; ``None`` where it does not answer in time."""
        text = await self._get("/v1/status")
        if text is None:
            return None
        told = json.loads(text)
        return {
            "lag_p99_s": told["bot"]["loop_lag_p99_s"],
            "ready": told["bot"]["ready"],
            "watches": len(told["watches"]),
            "models": {m["name"]: m["state"] for m in told["models"]},
        }

    async def _cached_bytes(self) -> int | None:
        """What the one chat model keeps of conversations; ``None`` where it is not known."""
        text = await self._get("/metrics")
        found = None if text is None else _PROMPT_CACHE.search(text)
        return None if found is None else int(float(found[1]))

    async def _get(self, path: str) -> str | None:
        timeout = aiohttp.ClientTimeout(total=_STATUS_TIMEOUT_S)
        try:
            async with self._session.get(self._ground.status_url + path, timeout=timeout) as answer:
                return await answer.text() if answer.ok else None
        except (aiohttp.ClientError, TimeoutError):
            return None


def look_at(process: psutil.Process, workers: dict[int, str]) -> Json | None:
    """One process's memory, descriptors, threads and processor time; ``None``: it is gone."""
    try:
        with process.oneshot():
            memory = process.memory_full_info()
            times = process.cpu_times()
            return {
                "pid": process.pid,
                "began_at": process.create_time(),
                "role": role_of(process.cmdline(), process.pid, workers),
                "own": own_bytes(process.pid, memory.uss),
                "rss": memory.rss,
                "uss": memory.uss,
                "pss": getattr(memory, "pss", None),
                "handles": process.num_fds() if hasattr(process, "num_fds") else None,
                "threads": process.num_threads(),
                "cpu_s": round(times.user + times.system, 2),
            }
    except _GONE:
        return None


def own_bytes(pid: int, uss_bytes: int) -> int:
    """Memory that no file stands behind: what a leak grows, and nothing else does.

    The rest changes with what other processes map and what the system reclaims: when another Python
    starts, pages of libraries cease to be this one's alone, and ``uss`` falls. Where the system
    does not tell them apart, ``uss`` is the nearest there is.
    """
    if not sys.platform.startswith("linux"):
        return uss_bytes
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return uss_bytes


def role_of(command: list[str], pid: int, workers: dict[int, str]) -> str:
    """What a process is, from its command line. Pure."""
    if _WORKER in command:
        return f"worker {workers.get(pid, '?')}"
    return next((role for word, role in _ROLES.items() if word in command), "other")


def worker_names(data: Path | None) -> dict[int, str]:
    """Which worker each process is, as the bot wrote it down for its next start."""
    if data is None or not (data / "journal.db").exists():
        return {}
    address = f"file:{data / 'journal.db'}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as database:
            rows = database.execute("SELECT pid, worker, device_uuid FROM workers").fetchall()
    except sqlite3.Error:
        return {}
    return {pid: f"{worker} on {device[-11:]}" for pid, worker, device in rows}


def file_sizes(folders: dict[str, Path | None]) -> dict[str, int]:
    """Every file's size in bytes."""
    sizes = {}
    for name, folder in folders.items():
        for file in folder.rglob("*") if folder is not None else ():
            try:
                if file.is_file():
                    sizes[f"{name}/{file.relative_to(folder)}"] = file.stat().st_size
            except OSError:
                continue
    return sizes


def append(file: Path, line: Json) -> None:
    """Add one line of JSON."""
    with file.open("a", encoding="utf-8") as out:
        out.write(json.dumps(line) + "\n")
