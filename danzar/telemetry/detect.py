"""Choosing the source of device figures."""

import asyncio
import logging
from collections.abc import Sequence
from typing import Literal

from danzar.core.device import DeviceKind
from danzar.errors import TelemetryUnavailable
from danzar.telemetry.base import DriverAbsent, Telemetry
from danzar.telemetry.host import HostTelemetry
from danzar.telemetry.simulated import SEED_CARDS, SimulatedCard, SimulatedCards

log = logging.getLogger(__name__)

Mode = Literal["auto", "nvml", "simulated", "none"]


async def open_telemetry(
    mode: Mode = "auto",
    *,
    cards: Sequence[SimulatedCard] = SEED_CARDS,
    simulate_when_absent: bool = False,
    timeout_s: float = 5.0,
) -> Telemetry:
    """Open the source that ``mode`` asks for; the caller closes it.

    ``auto`` is the driver if it has a card, else ``cards`` if ``simulate_when_absent``, else host
    RAM alone. A driver that is there but hangs is kept, because it may recover.

    Raises:
        danzar.telemetry.base.DriverAbsent: ``mode`` is ``nvml`` and there is no driver or card.
    """
    if mode == "simulated":
        return SimulatedCards(cards)
    if mode == "none":
        return HostTelemetry()
    try:
        return await _open_nvml(timeout_s)
    except DriverAbsent as exc:
        if mode == "nvml":
            raise
        log.info("%s; %s", exc, "cards are simulated" if simulate_when_absent else "using the CPU")
    return SimulatedCards(cards) if simulate_when_absent else HostTelemetry()


def _make_nvml(timeout_s: float) -> Telemetry:
    # Imported on use: pynvml takes 14 MB and 0.15 s.
    from danzar.telemetry.nvml import NvmlTelemetry

    return NvmlTelemetry(timeout_s=timeout_s)


async def _open_nvml(timeout_s: float) -> Telemetry:
    telemetry = await asyncio.to_thread(_make_nvml, timeout_s)
    try:
        snapshots = await telemetry.sample()
    except DriverAbsent:
        await telemetry.close()
        raise
    except TelemetryUnavailable as exc:
        log.warning("the GPU driver is there but silent: %s", exc)
        return telemetry
    if not any(s.kind is DeviceKind.CUDA for s in snapshots):
        await telemetry.close()
        raise DriverAbsent("the NVIDIA driver sees no card here")
    return telemetry
