"""The real pynvml code path over a fake driver."""

import asyncio
import json
import logging
import os
import subprocess
import sys

import pytest

from danzar.core.device import DeviceKind
from danzar.errors import TelemetryUnavailable
from danzar.telemetry.base import DriverAbsent
from danzar.telemetry.nvml import NvmlTelemetry
from tests.fakes import nvml

GIB = 1024**3


@pytest.fixture
async def telemetry(world):
    source = NvmlTelemetry(timeout_s=5, rescan_interval_s=0)
    yield source
    world.tell()
    await source.close()


async def cards(telemetry):
    return [s for s in await telemetry.sample() if s.kind is DeviceKind.CUDA]


async def test_cards_come_in_pci_bus_order_with_all_their_figures(telemetry):
    first, second = await cards(telemetry)
    assert (first.uuid, first.label, first.name) == (
        "GPU-aaaa",
        "cuda:0",
        "NVIDIA GeForce RTX 4070",
    )
    assert (second.uuid, second.label) == ("GPU-bbbb", "cuda:1")
    assert (first.total_bytes, first.free_bytes, first.used_bytes) == (12 * GIB, 11 * GIB, GIB)
    assert (first.utilisation_pct, first.temperature_c, first.power_w) == (7, 41, 21.5)
    assert not first.simulated


async def test_the_next_sample_sees_what_another_program_took(telemetry, world):
    await cards(telemetry)
    world.cards[1].free_bytes = 3 * GIB
    world.save()
    assert (await cards(telemetry))[0].free_bytes == 3 * GIB


async def test_nvml_is_initialised_once_for_many_samples(telemetry, world):
    for _ in range(5):
        await telemetry.sample()
    assert world.calls().count("nvmlInitWithFlags") == 1


FIGURES = [
    ("nvmlDeviceGetMemoryInfo", "free_bytes", None),
    ("nvmlDeviceGetMemoryInfo", "used_bytes", None),
    ("nvmlDeviceGetUtilizationRates", "utilisation_pct", None),
    ("nvmlDeviceGetPowerUsage", "power_w", None),
    ("nvmlDeviceGetComputeRunningProcesses_v3", "processes", ()),
    ("nvmlDeviceGetGraphicsRunningProcesses_v3", "processes", ()),
    ("nvmlDeviceGetName", "name", "NVIDIA GPU"),
]


@pytest.mark.parametrize(("call", "field", "unknown"), FIGURES)
@pytest.mark.parametrize("code", [2, 3, 4, 10, 999])
async def test_one_refused_figure_is_unknown_and_the_others_stay(
    telemetry, world, call, field, unknown, code
):
    world.tell(f"error {call} {code} GPU-aaaa")
    first, second = await cards(telemetry)
    assert getattr(first, field) == unknown
    assert first.uuid == "GPU-aaaa"
    assert second.free_bytes == 11 * GIB
    assert second.utilisation_pct == 7


async def test_a_refused_figure_is_logged_once_and_comes_back(telemetry, world, caplog):
    world.tell("error nvmlDeviceGetPowerUsage 3 GPU-aaaa")
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert (await cards(telemetry))[0].power_w is None
    assert len([r for r in caplog.records if "power of GPU-aaaa" in r.getMessage()]) == 1
    world.tell()
    assert (await cards(telemetry))[0].power_w == 21.5


async def test_the_older_temperature_call_serves_where_the_newer_is_missing(telemetry, world):
    world.tell("error nvmlDeviceGetTemperatureV 13")
    assert (await cards(telemetry))[0].temperature_c == 41
    world.tell("error nvmlDeviceGetTemperatureV 13", "error nvmlDeviceGetTemperature 3")
    assert (await cards(telemetry))[0].temperature_c is None


async def test_a_process_in_both_lists_appears_once_with_its_name(telemetry, world):
    world.tell(
        f"process GPU-aaaa compute {os.getpid()} 1000",
        f"process GPU-aaaa graphics {os.getpid()} 1000",
        "process GPU-bbbb graphics 4194399 na",
    )
    first, second = await cards(telemetry)
    (mine,) = first.processes
    assert (mine.pid, mine.used_bytes) == (os.getpid(), 1000)
    assert mine.name
    (stranger,) = second.processes
    assert stranger.used_bytes is None
    assert stranger.name is None


async def test_many_processes_fit_through_the_two_call_pattern(telemetry, world):
    world.tell(*(f"process GPU-aaaa compute {9_000_000 + n} {n}" for n in range(200)))
    assert len((await cards(telemetry))[0].processes) == 200


async def test_processes_of_a_driver_without_the_newest_call_are_listed(telemetry, world):
    world.tell(
        "error nvmlDeviceGetComputeRunningProcesses_v3 13",
        "process GPU-aaaa compute 9000001 5",
    )
    assert [p.used_bytes for p in (await cards(telemetry))[0].processes] == [5]


async def test_a_lost_card_is_left_out_and_the_other_keeps_its_number(telemetry, world):
    await cards(telemetry)
    world.tell("error * 15 GPU-aaaa")
    (left,) = await cards(telemetry)
    assert (left.uuid, left.label, left.free_bytes) == ("GPU-bbbb", "cuda:1", 11 * GIB)


async def test_a_lost_card_that_returns_is_found_by_initialising_again(telemetry, world):
    await cards(telemetry)
    lost = world.cards.pop(1)
    world.save()
    assert [c.uuid for c in await cards(telemetry)] == ["GPU-bbbb"]
    world.cards.append(lost)
    world.save()
    assert [c.label for c in await cards(telemetry)] == ["cuda:0", "cuda:1"]
    assert world.calls().count("nvmlInitWithFlags") > 1


async def test_a_card_lost_from_the_start_leaves_the_others(telemetry, world):
    world.tell("error nvmlDeviceGetHandleByIndex_v2 15 GPU-aaaa")
    assert [c.uuid for c in await cards(telemetry)] == ["GPU-bbbb"]


@pytest.mark.parametrize("code", [1, 9, 18])
async def test_a_driver_that_goes_away_is_unavailable_and_recovers(telemetry, world, code):
    await cards(telemetry)
    world.tell(f"error * {code}")
    with pytest.raises(TelemetryUnavailable):
        await telemetry.sample()
    world.tell()
    assert len(await cards(telemetry)) == 2


@pytest.mark.parametrize("code", [9, 12])
async def test_an_absent_driver_is_told_apart(telemetry, world, code):
    world.tell(f"error nvmlInitWithFlags {code}")
    with pytest.raises(DriverAbsent, match="no NVIDIA driver"):
        await telemetry.sample()


async def test_a_hanging_driver_is_unavailable_while_the_loop_stays_free(world):
    telemetry = NvmlTelemetry(timeout_s=0.5)
    await telemetry.sample()
    already = len(world.calls())
    world.tell("hang nvmlDeviceGetMemoryInfo")
    asking = asyncio.create_task(telemetry.sample())
    while len(world.calls()) == already:
        await asyncio.sleep(0.01)
    assert not asking.done()  # the driver hangs, and this line still ran
    with pytest.raises(TelemetryUnavailable, match=r"not answered within 0\.5 s"):
        await asking
    with pytest.raises(TelemetryUnavailable):
        await telemetry.sample()

    world.tell()
    async with asyncio.timeout(10):
        while True:
            try:
                snapshots = await telemetry.sample()
                break
            except TelemetryUnavailable:
                await asyncio.sleep(0.02)
    assert len(snapshots) == 3
    await telemetry.close()


async def test_a_cancelled_sample_does_not_spoil_the_next(telemetry, world):
    world.tell("hang nvmlDeviceGetMemoryInfo")
    asking = asyncio.create_task(telemetry.sample())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    world.tell()
    assert len(await cards(telemetry)) == 2


async def test_a_closed_source_says_so_at_once(world):
    telemetry = NvmlTelemetry(timeout_s=60)
    await telemetry.sample()
    await telemetry.close()
    assert world.calls()[-1] == "nvmlShutdown"
    with pytest.raises(TelemetryUnavailable, match="closed"):
        await telemetry.sample()


CHILD = """
import asyncio, json
from danzar.telemetry.detect import open_telemetry

async def main():
    telemetry = await open_telemetry(timeout_s={timeout_s})
    try:
        snapshots = await telemetry.sample()
        print(json.dumps([(s.label, s.uuid) for s in snapshots]), flush=True)
    except Exception as exc:
        print(json.dumps(type(exc).__name__), flush=True)
    await telemetry.close()

asyncio.run(main())
"""


def run_child(library, world, timeout_s):
    done = subprocess.run(
        [sys.executable, "-c", CHILD.format(timeout_s=timeout_s)],
        env=nvml.child_environment(library, world),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.process
def test_a_child_process_finds_the_driver_by_the_loader(tmp_path, nvml_library):
    world = nvml.seed_world(tmp_path)
    assert run_child(nvml_library, world, 20) == [
        ["cuda:0", "GPU-aaaa"],
        ["cuda:1", "GPU-bbbb"],
        ["cpu", "cpu"],
    ]


@pytest.mark.process
def test_a_hanging_driver_does_not_keep_the_process_from_ending(tmp_path, nvml_library):
    world = nvml.seed_world(tmp_path)
    world.tell("hang nvmlInitWithFlags")  # the line stays: the call never returns
    assert run_child(nvml_library, world, 0.2) == "TelemetryUnavailable"
