"""Watches what Danzar's processes hold, and has those that leak started anew once they idle."""

import asyncio
import logging
import time
from collections.abc import Callable

import psutil

from danzar.broker.driver_view import held_by
from danzar.broker.pool_worker import PoolWorker
from danzar.core.device import CPU_UUID
from danzar.core.events import Snapshots
from danzar.core.incident import Observation
from danzar.core.leaks import Leak, LeakRules, LeakTrack
from danzar.core.pressure import Level
from danzar.core.state import State
from danzar.units import format_size

log = logging.getLogger(__name__)

_LOOK_INTERVAL_S = 5.0
# A worker that leaks again is not started anew more often than this.
_RECYCLE_INTERVAL_S = 1800.0
_BOT = "the bot"

Key = tuple[str, str]
"""A process: its worker's name and device; the bot itself has the device ``cpu``."""


class LeakWatch:
    """Looks each few seconds; the owner runs ``run`` in a TaskGroup."""

    def __init__(
        self,
        workers: Callable[[], tuple[PoolWorker, ...]],
        snapshots: Callable[[], Snapshots],
        recycle: Callable[[str, str, str], None],
        state: State,
        *,
        rules: LeakRules | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wire the parts; ``recycle`` has a worker (name, device UUID) started anew."""
        self._workers = workers
        self._snapshots = snapshots
        self._recycle = recycle
        self._state = state
        self._rules = rules
        self._now_s = now_s
        self._bot = psutil.Process()
        self._tracks: dict[tuple[Key, int, str], LeakTrack] = {}
        self._leaks: dict[Key, str] = {}
        self._recycled_s: dict[Key, float] = {}
        self._seen: set[Key] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_INTERVAL_S)
            self.look()

    def look(self) -> None:
        """Follow every process with its newest figures."""
        now_s, workers = self._now_s(), self._workers()
        keys = [(w.key.worker, w.key.device_uuid) for w in workers]
        alive = {(key, w.pid) for key, w in zip(keys, workers, strict=True)}
        bot: Key = (_BOT, CPU_UUID)
        alive.add((bot, self._bot.pid))
        self._tracks = {k: t for k, t in self._tracks.items() if k[:2] in alive}
        self._leaks = {}
        hosts = frozenset[str]()
        self._follow(bot, self._bot.pid, {CPU_UUID: self._bot.memory_info().rss}, hosts, now_s)
        for key, worker in zip(keys, workers, strict=True):
            self._follow(key, worker.pid, self._held(worker), self._hosts(worker), now_s)
            self._mend(key, worker, now_s)

    def observe(self) -> list[Observation]:
        """What people are told: each leak while it lasts, or until its process was started anew."""
        self._seen |= self._leaks.keys()
        told = [Observation(_name(k), Level.WARNING, text) for k, text in self._leaks.items()]
        over = self._seen - self._leaks.keys()
        return told + [
            Observation(_name(key), Level.NORMAL, f"The memory of {_process(key)} grows no more")
            for key in sorted(over)
        ]

    def _follow(
        self, key: Key, pid: int, held: dict[str, int], hosts: frozenset[str], now_s: float
    ) -> None:
        for device, used_bytes in held.items():
            track = self._tracks.setdefault((key, pid, device), LeakTrack(self._rules))
            leak = track.add(now_s, used_bytes, hosts)
            if leak is not None:
                self._leaks[key] = _text(key, leak, device)

    def _held(self, worker: PoolWorker) -> dict[str, int]:
        """What a worker holds by device, where that is known."""
        held = held_by(self._snapshots(), worker.pid)
        if any(s.simulated for s in self._snapshots()):
            held = {}  # there a process holds what was booked
        memory = worker.process.memory
        return held if memory is None else held | {CPU_UUID: memory.rss_bytes}

    def _hosts(self, worker: PoolWorker) -> frozenset[str]:
        """What explains its memory: its models, each with its batch."""
        instances = self._state.instances
        batches = (
            f"{name}@{instance.batch.state.size}"
            for name in worker.models
            if (instance := instances.get(name)) is not None and instance.batch is not None
        )
        return frozenset((*worker.models, *batches))

    def _mend(self, key: Key, worker: PoolWorker, now_s: float) -> None:
        """Start a worker that leaks anew while nobody uses it."""
        last_s = self._recycled_s.get(key)
        rested = last_s is None or now_s - last_s >= _RECYCLE_INTERVAL_S
        if key in self._leaks and rested and not worker.process.busy_models:
            self._recycled_s[key] = now_s
            log.warning("%s", self._leaks[key])
            self._recycle(*key, "its memory grows and nothing explains it")


def _name(key: Key) -> str:
    return f"leak:{key[0]}:{key[1]}"


def _process(key: Key) -> str:
    return _BOT if key[0] == _BOT else f"the worker {key[0]}"


def _text(key: Key, leak: Leak, device: str) -> str:
    where = "host RAM" if device == CPU_UUID else "GPU memory"
    what_now = (
        "Restart Danzar when it suits you, and report this"
        if key[0] == _BOT
        else "It is started anew as soon as nobody uses it"
    )
    return (
        f"Leak: {_process(key)} holds {format_size(leak.rise_bytes)} more {where} than "
        f"{leak.window_s / 60:.0f} minutes ago ({leak.bytes_per_min / 1e6:.1f} MB a minute), and "
        f"no load or batch explains it. {what_now}"
    )
