"""What every source of device figures offers."""

from typing import Protocol

from danzar.core.device import DeviceSnapshot
from danzar.errors import TelemetryUnavailable


class DriverAbsent(TelemetryUnavailable):
    """There is no driver or no card: waiting will not help, unlike with a driver that hangs."""


class Telemetry(Protocol):
    """A source of snapshots."""

    async def sample(self) -> tuple[DeviceSnapshot, ...]:
        """Measure now: CUDA devices in PCI bus order, then host RAM as ``cpu``.

        A device that has fallen off the bus is left out until it is back. Safe to cancel.

        Raises:
            danzar.errors.TelemetryUnavailable: The driver is absent, hangs or refused everything.
        """
        ...

    async def close(self) -> None:
        """Give back what the source holds; returns even when the driver hangs."""
        ...
