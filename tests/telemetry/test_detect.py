import sys

import pytest

from danzar.core.device import DeviceKind
from danzar.errors import TelemetryUnavailable
from danzar.telemetry.base import DriverAbsent
from danzar.telemetry.detect import open_telemetry
from danzar.telemetry.simulated import SimulatedCard
from danzar.units import GIB


async def cards_of(mode, **options):
    telemetry = await open_telemetry(mode, **options)
    try:
        return [s for s in await telemetry.sample() if s.kind is DeviceKind.CUDA]
    finally:
        await telemetry.close()


async def test_auto_takes_the_driver_where_it_has_cards(world):
    cards = await cards_of("auto", simulate_when_absent=True)
    assert [c.uuid for c in cards] == ["GPU-aaaa", "GPU-bbbb"]


@pytest.mark.parametrize("trouble", ["no driver", "no card"])
async def test_auto_without_a_card_is_host_ram_unless_asked_to_simulate(world, trouble):
    if trouble == "no card":
        world.cards.clear()
    world.tell(*(["error nvmlInitWithFlags 9"] if trouble == "no driver" else []))
    assert await cards_of("auto") == []
    simulated = await cards_of("auto", simulate_when_absent=True)
    assert [c.simulated for c in simulated] == [True, True]


async def test_nvml_without_a_driver_says_so(world):
    world.tell("error nvmlInitWithFlags 12")
    with pytest.raises(DriverAbsent, match="no NVIDIA driver"):
        await open_telemetry("nvml")


async def test_nvml_without_a_card_says_so(world):
    world.cards.clear()
    world.save()
    with pytest.raises(DriverAbsent, match="sees no card"):
        await open_telemetry("nvml")


async def test_a_driver_that_hangs_at_start_is_kept_because_it_may_recover(world):
    world.tell("hang nvmlInitWithFlags")
    telemetry = await open_telemetry("auto", simulate_when_absent=True, timeout_s=0.1)
    with pytest.raises(TelemetryUnavailable):
        await telemetry.sample()
    world.tell()
    await telemetry.close()


async def test_simulated_cards_are_the_described_ones():
    cards = await cards_of("simulated", cards=[SimulatedCard("Tiny", 4 * GIB)] * 1)
    assert [(c.name, c.total_bytes) for c in cards] == [("Tiny", 4 * GIB)]


async def test_none_is_host_ram_alone():
    assert await cards_of("none") == []


def test_simulating_does_not_load_pynvml():
    import subprocess

    code = (
        "import sys, asyncio; from danzar.telemetry.detect import open_telemetry; "
        "asyncio.run(open_telemetry('simulated')); sys.exit('pynvml' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0
