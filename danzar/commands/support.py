"""``danzar support-bundle``: what a report of a fault needs, and nothing that is private."""

import asyncio
import getpass
import json
import os
import platform
import socket
import sqlite3
import sys
from collections import deque
from contextlib import closing, suppress
from datetime import UTC, datetime
from functools import partial
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import psutil
from rich.console import Console

from danzar.broker.decisions import FILE as DECISIONS_FILE
from danzar.commands import gpu
from danzar.commands.doctor import examine
from danzar.commands.logs import folder_of
from danzar.config.environment import PREFIX
from danzar.config.load import load_config
from danzar.config.places import data_folder
from danzar.config.secrets import names_secret
from danzar.config.settings import Config
from danzar.incidents.record import decode_record
from danzar.incidents.record_json import record_json
from danzar.logs.read import Filter, read_lines
from danzar.logs.redaction import known_secrets
from danzar.maintenance.bundle import Bundled, Part, Parts, write_bundle
from danzar.maintenance.inventory import kind_of
from danzar.maintenance.scrub import Private
from danzar.store import STORE_FILE
from danzar.units import format_size

_LOG_LINES = 5_000
_DECISIONS = 300
_INCIDENTS = 200
_JOURNAL_FILE = "journal.db"


def collect(folder: Path | None, target: Path | None) -> tuple[Path, tuple[Bundled, ...]]:
    """Write the bundle; returns where it is, and what is in it.

    Args:
        folder: Of the settings, as ``--config`` named it.
        target: The file, or a folder for it; ``None`` is the folder that the command runs in.

    Raises:
        danzar.maintenance.errors.BackupFailed: It can't be written.
    """
    name = f"danzar-support-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    file = Path(name) if target is None else target / name if target.is_dir() else target
    return file, write_bundle(file.absolute(), parts_of(folder), private_here())


def print_bundle(file: Path, parts: tuple[Bundled, ...], console: Console) -> None:
    """What is in it, so that its owner decides whether to send it."""
    for part in parts:
        size = f"{format_size(part.size_bytes):>10}"
        console.print(f"{size}  {part.name}: {part.error or part.holds}", soft_wrap=True)
    console.print(f"{file.absolute()} was sent nowhere. Look into it before you send it.")


def private_here() -> Private:
    """What is private on this machine."""
    user = ""
    with suppress(OSError, KeyError):  # an account without a name, as in a container
        user = getpass.getuser()
    return Private(known_secrets(), str(Path.home()), user, socket.gethostname())


def parts_of(folder: Path | None) -> Parts:
    """Every part; none is got before it is asked for."""
    described: dict[str, Part] = {
        "about.json": ("versions of Danzar, Python and the system", _about),
        "packages.txt": ("installed packages and their versions", _packages),
        "doctor.json": ("what `danzar doctor` finds", partial(_doctor, folder)),
        "environment.txt": ("settings that variables override", _environment),
        "devices.json": ("what `danzar gpu status` shows", partial(_devices, folder)),
        "log.jsonl": (f"the newest {_LOG_LINES:,} lines of the log", partial(_log, folder)),
        "decisions.jsonl": (f"the newest {_DECISIONS} decisions", partial(_decisions, folder)),
        "incidents.json": (f"the newest {_INCIDENTS} incidents", partial(_incidents, folder)),
        "journal.json": ("worker processes and their leases", partial(_journal, folder)),
        "processes.json": ("Danzar's own processes", _processes),
        "files.json": ("sizes of the files in the data folder", partial(_files, folder)),
    }
    for name in ("bot_config", "vision_config", "vram_config", "models", "resource_profiles"):
        file = f"{name}.yaml"
        described[f"config/{file}"] = ("settings", partial(_settings, folder, file))
    return described


def _about() -> str:
    return _json(
        {
            "danzar": metadata.version("danzar"),
            "python": sys.version,
            "system": platform.platform(),
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "memory_bytes": psutil.virtual_memory().total,
            "sqlite": sqlite3.sqlite_version,
            "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
    )


def _packages() -> str:
    found = {(d.metadata["Name"] or "?", d.version) for d in metadata.distributions()}
    return "".join(f"{name}=={version}\n" for name, version in sorted(found))


def _doctor(folder: Path | None) -> str:
    return _json([finding.to_json() for finding in examine(folder)])


def _environment() -> str:
    """Variables that Danzar and the driver read."""
    lines = (
        f"{name}={'***' if names_secret(name) else value}\n"
        for name, value in sorted(os.environ.items())
        if name.upper().startswith((PREFIX, "CUDA_", "NVIDIA_"))
    )
    return "".join(lines)


def _devices(folder: Path | None) -> str:
    return _json(_without_strangers(asyncio.run(gpu.status(load_config(folder)))))


def _without_strangers(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Without lists of processes: what else runs on a card is nobody's business."""
    match value:
        case dict():
            return {k: _without_strangers(v) for k, v in value.items() if k != "processes"}
        case list():
            return [_without_strangers(item) for item in value]
        case _:
            return value


def _log(folder: Path | None) -> str:
    lines = read_lines(folder_of(load_config(folder)), Filter(), _LOG_LINES)
    return "".join(f"{msgspec.json.encode(line).decode()}\n" for line in lines)


def _decisions(folder: Path | None) -> str:
    """What was decided about which model; what it was decided from names other programs."""
    with (_data(folder) / DECISIONS_FILE).open("rb") as stream:
        newest = deque(stream, maxlen=_DECISIONS)
    kept = []
    for line in newest:
        with suppress(msgspec.DecodeError, KeyError, TypeError):
            said = msgspec.json.decode(line)
            model = said["inputs"]["demand"]["model"]
            kept.append(
                {"at": said["at"], "kind": said["kind"], "model": model, "plan": said["plan"]}
            )
    return "".join(f"{json.dumps(decision)}\n" for decision in kept)


def _incidents(folder: Path | None) -> str:
    sql = "SELECT body FROM incidents ORDER BY number DESC LIMIT ?"
    rows = _rows(_data(folder) / STORE_FILE, sql, (_INCIDENTS,))
    records = (decode_record(row["body"]) for row in rows)
    now = datetime.now(UTC)
    return _json([record_json(record, now) for record in records if record is not None])


def _journal(folder: Path | None) -> str:
    file = _data(folder) / _JOURNAL_FILE
    tables = ("workers", "leases")
    return _json({table: _rows(file, f"SELECT * FROM {table}") for table in tables})  # noqa: S608 - constants


def _processes() -> str:
    return _json([_process(process) for process in psutil.process_iter() if _is_ours(process)])


def _is_ours(process: psutil.Process) -> bool:
    with suppress(psutil.Error):
        arguments = process.cmdline()
        return any(
            argument.startswith("danzar.") or Path(argument).stem == "danzar"
            for argument in arguments[:4]
        )
    return False


def _process(process: psutil.Process) -> dict[str, Any]:
    with suppress(psutil.Error), process.oneshot():
        return {
            "pid": process.pid,
            "parent": process.ppid(),
            "command": process.cmdline()[1:],
            "resident_bytes": process.memory_info().rss,
            "threads": process.num_threads(),
            "cpu_s": round(sum(process.cpu_times()[:2]), 1),
            "begun_at": datetime.fromtimestamp(process.create_time(), UTC).isoformat(),
        }
    return {"pid": process.pid, "gone": True}


def _files(folder: Path | None) -> str:
    data = _data(folder)
    found = []
    for file in sorted(data.rglob("*")):
        inner = PurePosixPath(file.relative_to(data).as_posix())
        kind = kind_of(inner)
        # A file that Danzar does not know may have any name.
        name = str(inner) if kind is not None else f"(not Danzar's) *{file.suffix}"
        with suppress(FileNotFoundError):
            if file.is_file():
                found.append({"file": name, "bytes": file.stat().st_size})
    return _json(found)


def _settings(folder: Path | None, name: str) -> str:
    config: Config = load_config(folder)
    if config.folder is None:
        return "# no folder of settings: all are the defaults\n"
    return (config.folder / name).read_text(encoding="utf-8")


def _data(folder: Path | None) -> Path:
    return data_folder(load_config(folder))


def _rows(file: Path, sql: str, parameters: tuple[object, ...] = ()) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        return [dict(row) for row in connection.execute(sql, parameters)]


def _json(value: object) -> str:
    return json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
