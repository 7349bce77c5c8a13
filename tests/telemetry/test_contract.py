"""What every source of figures keeps to, whether its cards are real or simulated."""

import asyncio
import math

import psutil
import pytest

from danzar.core.device import CPU_UUID, DeviceKind
from danzar.telemetry.host import HostTelemetry
from danzar.telemetry.nvml import NvmlTelemetry
from danzar.telemetry.simulated import SimulatedCards


@pytest.fixture(params=["nvml", "simulated", "none"])
async def telemetry(request):
    if request.param == "nvml":
        request.getfixturevalue("world")
        source = NvmlTelemetry(timeout_s=120)
    else:
        source = SimulatedCards() if request.param == "simulated" else HostTelemetry()
    source.has_cards = request.param != "none"
    source.is_simulated = request.param == "simulated"
    yield source
    await source.close()


async def test_cards_come_first_in_order_and_host_ram_last(telemetry):
    *cards, host = await telemetry.sample()
    assert [c.label for c in cards] == (["cuda:0", "cuda:1"] if telemetry.has_cards else [])
    assert (host.uuid, host.label, host.kind) == (CPU_UUID, "cpu", DeviceKind.CPU)


async def test_names_of_the_cards_are_the_drivers(telemetry):
    *cards, _ = await telemetry.sample()
    expected = ["NVIDIA GeForce RTX 4070", "NVIDIA GeForce RTX 4070 SUPER"]
    assert [c.name for c in cards] == (expected if telemetry.has_cards else [])


async def test_figures_are_within_their_ranges(telemetry):
    for s in await telemetry.sample():
        assert 0 <= s.free_bytes <= s.total_bytes
        assert 0 <= s.used_bytes <= s.total_bytes
        assert s.utilisation_pct is None or 0 <= s.utilisation_pct <= 100
        assert s.memory_pct is not None
        assert math.isfinite(s.sampled_at_s)


async def test_uuids_differ_and_stay(telemetry):
    first = [s.uuid for s in await telemetry.sample()]
    assert first == [s.uuid for s in await telemetry.sample()]
    assert len(set(first)) == len(first)


async def test_time_does_not_run_backwards(telemetry):
    earlier = await telemetry.sample()
    later = await telemetry.sample()
    assert all(b.sampled_at_s >= a.sampled_at_s for a, b in zip(earlier, later, strict=True))


async def test_only_invented_cards_say_simulated_and_host_ram_never_does(telemetry):
    *cards, host = await telemetry.sample()
    assert all(c.simulated is telemetry.is_simulated for c in cards)
    assert not host.simulated
    assert 0 < host.total_bytes <= psutil.virtual_memory().total


async def test_closing_twice_is_harmless(telemetry):
    await telemetry.sample()
    async with asyncio.timeout(30):
        await telemetry.close()
        await telemetry.close()
