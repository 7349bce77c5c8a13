"""Figures of real NVIDIA cards: the only module that imports ``pynvml``.

``NvmlTelemetry`` is what the program uses; ``_NvmlReader`` makes the calls, in one thread of its
own because a driver may hang. NVML stays initialised: initialising can take seconds.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import psutil
import pynvml  # type: ignore[import-untyped]

from danzar.core.device import DeviceKind, DeviceSnapshot, ProcessUse
from danzar.errors import TelemetryUnavailable
from danzar.telemetry.base import DriverAbsent
from danzar.telemetry.driver_thread import DriverThread
from danzar.telemetry.host import HostReader

log = logging.getLogger(__name__)

T = TypeVar("T")

# NVMLLibraryMismatchError is no NVMLError: it is raised where the driver is older than a function.
_ERRORS = (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError)
_CARD_GONE = (pynvml.NVML_ERROR_GPU_IS_LOST, pynvml.NVML_ERROR_RESET_REQUIRED)
_DRIVER_GONE = (
    pynvml.NVML_ERROR_UNINITIALIZED,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
)
_ABSENT = (
    pynvml.NVML_ERROR_LIBRARY_NOT_FOUND,
    pynvml.NVML_ERROR_DRIVER_NOT_LOADED,
    pynvml.NVML_ERROR_NOT_FOUND,
)
_LIST_ATTEMPTS = 3


class _CardLostError(Exception):
    """The card has fallen off the bus, or must be reset."""


class _Card(NamedTuple):
    """A card as enumerated; ``position`` sorts in PCI bus order."""

    uuid: str
    name: str
    position: tuple[int, int, int]
    handle: Any


class NvmlTelemetry:
    """The source for machines with an NVIDIA driver."""

    def __init__(self, *, timeout_s: float = 5.0, rescan_interval_s: float = 30.0) -> None:
        self._reader = _NvmlReader(rescan_interval_s)
        self._host = HostReader()
        self._thread = DriverThread("nvml", timeout_s)

    async def sample(self) -> tuple[DeviceSnapshot, ...]:
        """Measure now: cards in PCI bus order, then host RAM.

        A figure that the driver refuses is ``None``. A lost card is left out until it is back.

        Raises:
            danzar.errors.TelemetryUnavailable: No driver (``DriverAbsent``), or it hangs or fails.
        """
        cards = await self._thread.call(self._reader.read)
        return (*cards, await asyncio.to_thread(self._host.read))

    async def compute_capabilities(self) -> dict[str, str]:
        """``8.9`` by UUID; a card whose driver does not say is left out.

        Raises:
            danzar.errors.TelemetryUnavailable: As for ``sample``.
        """
        return await self._thread.call(self._reader.compute_capabilities)

    async def close(self) -> None:
        """Shut NVML down; a hanging driver is left to its daemon thread."""
        if self._thread.stopped:
            return
        try:
            await self._thread.call(self._reader.close)
        except TelemetryUnavailable:
            log.warning("the driver did not answer when NVML was shut down")
        self._thread.stop()


class _NvmlReader:
    """The calls to NVML. Blocks; used by one thread."""

    def __init__(self, rescan_interval_s: float) -> None:
        self._rescan_interval_s = rescan_interval_s
        self._cards: list[_Card] | None = None
        self._positions: dict[str, tuple[int, int, int]] = {}
        self._lost: set[str] = set()
        self._scanned_at_s = 0.0
        self._logged: set[tuple[str, str]] = set()

    def read(self) -> tuple[DeviceSnapshot, ...]:
        """All cards that answer."""
        try:
            cards = self._current_cards()
            found = [snapshot for card in cards if (snapshot := self._read_card(card))]
        except _ERRORS as exc:
            self.close()
            raise _unavailable(exc) from exc
        return tuple(found)

    def compute_capabilities(self) -> dict[str, str]:
        """Major and minor version of each card that tells them."""
        try:
            told = {card.uuid: self._compute_capability(card) for card in self._current_cards()}
        except _ERRORS as exc:
            self.close()
            raise _unavailable(exc) from exc
        return {uuid: version for uuid, version in told.items() if version is not None}

    def _compute_capability(self, card: _Card) -> str | None:
        call = partial(pynvml.nvmlDeviceGetCudaComputeCapability, card.handle)
        try:
            version = self._figure(card.uuid, "compute capability", call)
        except _CardLostError:
            return None
        return None if version is None else ".".join(map(str, version))

    def close(self) -> None:
        """Shut NVML down, if it was up."""
        if self._cards is None:
            return
        self._cards = None
        try:
            pynvml.nvmlShutdown()
        except _ERRORS as exc:
            self._log_once("driver", "shutdown", exc)

    def _current_cards(self) -> list[_Card]:
        """The cards in PCI bus order; after a loss they are looked for again now and then."""
        due = time.monotonic() >= self._scanned_at_s + self._rescan_interval_s
        if self._lost and due:
            self.close()
        if self._cards is None:
            pynvml.nvmlInit()
            self._cards = []
            self._cards = self._scan()
        return self._cards

    def _scan(self) -> list[_Card]:
        self._scanned_at_s = time.monotonic()
        indices = range(pynvml.nvmlDeviceGetCount())
        cards = [card for index in indices if (card := self._open_card(index))]
        self._positions.update({card.uuid: card.position for card in cards})
        self._lost = set(self._positions) - {card.uuid for card in cards}
        return sorted(cards, key=lambda card: card.position)

    def _open_card(self, nvml_index: int) -> _Card | None:
        """The card's identity, or ``None`` where it does not even give that."""
        try:
            handle = pynvml.nvmlDeviceGetHandleByIndex(nvml_index)
            uuid = pynvml.nvmlDeviceGetUUID(handle)
            name = self._figure(uuid, "name", lambda: pynvml.nvmlDeviceGetName(handle))
            pci = self._figure(uuid, "PCI bus id", lambda: pynvml.nvmlDeviceGetPciInfo(handle))
        except _CardLostError:
            return None
        except _ERRORS as exc:
            self._log_once(f"card {nvml_index} of the driver", "identity", exc)
            return None
        position = (pci.domain, pci.bus, pci.device) if pci else (0, 0, nvml_index)
        return _Card(uuid, name or "NVIDIA GPU", position, handle)

    def _index(self, card: _Card) -> int:
        """The N of ``cuda:N``; stays the same while another card is lost."""
        return sorted(self._positions.values()).index(card.position)

    def _read_card(self, card: _Card) -> DeviceSnapshot | None:
        try:
            return self._measure(card)
        except _CardLostError:
            if card.uuid not in self._lost:
                log.warning("%s (%s) is lost; Danzar looks for it again", card.name, card.uuid)
            self._lost.add(card.uuid)
            return None

    def _measure(self, card: _Card) -> DeviceSnapshot:
        def figure(what: str, call: Callable[..., T], *args: object) -> T | None:
            return self._figure(card.uuid, what, lambda: call(card.handle, *args))

        memory = figure("memory", pynvml.nvmlDeviceGetMemoryInfo)
        rates = figure("utilisation", pynvml.nvmlDeviceGetUtilizationRates)
        power_mw = figure("power", pynvml.nvmlDeviceGetPowerUsage)
        return DeviceSnapshot(
            uuid=card.uuid,
            index=self._index(card),
            name=card.name,
            kind=DeviceKind.CUDA,
            total_bytes=int(memory.total) if memory else 0,
            free_bytes=int(memory.free) if memory else None,
            used_bytes=int(memory.used) if memory else None,
            utilisation_pct=float(rates.gpu) if rates else None,
            temperature_c=figure("temperature", _temperature_c),
            power_w=None if power_mw is None else power_mw / 1000,
            processes=self._processes(card),
            simulated=False,
            sampled_at_s=time.monotonic(),
        )

    def _processes(self, card: _Card) -> tuple[ProcessUse, ...]:
        """Compute and graphics processes, each once."""
        used: dict[int, int | None] = {}
        for what, versions in _PROCESS_LISTS.items():
            rows = self._figure(card.uuid, what, partial(_list, versions, card.handle))
            for row in rows or ():
                # A process in both lists reports the same memory in each.
                known = [b for b in (used.get(row.pid), row.usedGpuMemory) if b is not None]
                used[row.pid] = max(known, default=None)
        return tuple(ProcessUse(pid, _process_name(pid), size) for pid, size in used.items())

    def _figure(self, subject: str, what: str, call: Callable[[], T]) -> T | None:
        """One figure, or ``None`` where the driver refuses it.

        Raises:
            _CardLostError: The card is gone.
            pynvml.NVMLError: The driver itself is gone.
        """
        try:
            return call()
        except _ERRORS as exc:
            code = getattr(exc, "value", None)
            if code in _CARD_GONE:
                raise _CardLostError from exc
            if code in _DRIVER_GONE:
                raise
            self._log_once(subject, what, exc)
            return None

    def _log_once(self, subject: str, what: str, exc: Exception) -> None:
        if (subject, what) not in self._logged:
            self._logged.add((subject, what))
            log.warning("%s of %s is unknown: %s", what, subject, exc)


# Newest first: an older driver lacks the newer function.
_Lists = tuple[Callable[[Any], list[Any]], ...]
_PROCESS_LISTS: dict[str, _Lists] = {
    "compute processes": (
        pynvml.nvmlDeviceGetComputeRunningProcesses_v3,
        pynvml.nvmlDeviceGetComputeRunningProcesses_v2,
    ),
    "graphics processes": (
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v3,
        pynvml.nvmlDeviceGetGraphicsRunningProcesses_v2,
    ),
}


def _list(versions: _Lists, handle: object) -> list[Any]:
    newest, *older = versions
    try:
        return _list_again(newest, handle)
    except pynvml.NVMLError_FunctionNotFound:
        if not older:
            raise
        return _list(tuple(older), handle)


def _list_again(call: Callable[[Any], list[Any]], handle: object) -> list[Any]:
    """The list; asked again when processes appeared between the two calls that it takes."""
    for _ in range(_LIST_ATTEMPTS - 1):
        try:
            return call(handle)
        except pynvml.NVMLError_InsufficientSize:
            continue
    return call(handle)


def _temperature_c(handle: object) -> float:
    """By the newer call, else by the one that drivers before it have."""
    try:
        return float(pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU))
    except (pynvml.NVMLError_FunctionNotFound, pynvml.NVMLError_NotSupported):
        return float(pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU))


def _process_name(pid: int) -> str | None:
    try:
        return str(psutil.Process(pid).name())
    except (psutil.Error, ValueError, OSError):
        return None


def _unavailable(exc: Exception) -> TelemetryUnavailable:
    if getattr(exc, "value", None) in _ABSENT:
        return DriverAbsent(f"no NVIDIA driver is running here ({exc}); install it to use a GPU")
    return TelemetryUnavailable(
        f"the GPU driver refused to answer ({exc}); try nvidia-smi, and restart the machine after "
        "a driver update"
    )
