"""Start and end worker processes, on Linux and Windows alike."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence

import psutil

# OpenMP threads wait at barriers by spinning for up to a millisecond. Where a game wants the same
# cores, that made llama.cpp 20 times slower; the owner's own setting wins.
_THREADING = {"GOMP_SPINCOUNT": "1000"}
# onnxruntime reports to its maker by itself, and keeps a database for that in the home folder.
_SILENT = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}
_SECRET = re.compile(r"TOKEN|SECRET|PASSW|API_?KEY|CREDENTIAL|PRIVATE", re.IGNORECASE)


async def spawn(cuda_uuids: Sequence[str]) -> asyncio.subprocess.Process:
    """A worker's process, leader of its own group, with its output in one pipe.

    Spawned rather than forked: a fork would copy the bot's threads' locks and open sockets.
    """
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "danzar.workers.child",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=child_environment(dict(os.environ), cuda_uuids),
        start_new_session=sys.platform != "win32",
        creationflags=_creation_flags(),
    )


def child_environment(parent: dict[str, str], cuda_uuids: Sequence[str]) -> dict[str, str]:
    """The bot's environment without secrets; it shows these cards in this order, and is silent."""
    kept = {name: value for name, value in parent.items() if not _SECRET.search(name)}
    return (
        _THREADING
        | kept
        | _SILENT
        | {
            "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
            "CUDA_VISIBLE_DEVICES": ",".join(cuda_uuids),
            "PYTHONUNBUFFERED": "1",
        }
    )


def kill_group(pid: int) -> None:
    """Kill a worker and all that it started. Gone already is fine."""
    if sys.platform == "win32":
        _kill_tree(pid)
    else:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)


def _kill_tree(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                each.kill()


def _creation_flags() -> int:
    if sys.platform == "win32":
        # Its own group: Ctrl-C reaches only the bot, which then stops its workers in order.
        return subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    return 0
