import asyncio
import logging
from dataclasses import replace
from itertools import pairwise

import pytest

from danzar.errors import TelemetryUnavailable
from danzar.telemetry.host import HostReader
from danzar.telemetry.sampler import Sampler


class Script:
    """A source that does what the test says next."""

    def __init__(self):
        self.now_s = 0.0
        self.error = None
        self.samples = 0
        self._template = HostReader().read()

    async def sample(self):
        self.samples += 1
        if self.error:
            raise TelemetryUnavailable(self.error)
        return (replace(self._template, sampled_at_s=self.now_s, free_bytes=self.samples),)

    async def close(self):
        pass


@pytest.fixture
def source():
    return Script()


@pytest.fixture
def sampler(source):
    return Sampler(source, interval_s=1.0, history_s=3600, now_s=lambda: source.now_s)


async def test_before_the_first_sample_nothing_is_known_and_it_counts_as_stale(sampler):
    assert sampler.reading.snapshots == ()
    assert sampler.reading.age_s(5.0) is None
    assert sampler.is_stale


async def test_the_newest_sample_is_kept_with_its_age(sampler, source):
    await sampler.refresh()
    source.now_s = 2.5
    assert sampler.reading.age_s(source.now_s) == 2.5
    assert not sampler.is_stale
    source.now_s = 3.5
    assert sampler.is_stale


async def test_a_silent_driver_keeps_the_last_figures_with_the_reason(sampler, source, caplog):
    await sampler.refresh()
    source.error = "hangs"
    with caplog.at_level(logging.INFO):
        for _ in range(3):
            source.now_s += 2
            reading = await sampler.refresh()
        assert reading.error == "hangs"
        assert reading.snapshots[0].free_bytes == 1
        assert sampler.is_stale
        source.error = None
        assert (await sampler.refresh()).error is None
    assert not sampler.is_stale
    assert [r.getMessage() for r in caplog.records] == [
        "no figures from the driver: hangs",
        "the driver answers again",
    ]


async def test_the_task_goes_on_after_the_driver_failed(source):
    sampler = Sampler(source, interval_s=0.001)
    source.error = "gone"
    async with asyncio.timeout(10), asyncio.TaskGroup() as group:
        task = group.create_task(sampler.run())
        async for reading in sampler.readings():
            if source.samples >= 3:
                source.error = None
            if reading.snapshots:
                break
        task.cancel()
    assert source.samples >= 4


async def test_subscribers_get_each_new_reading_and_a_slow_one_the_newest(sampler, source):
    readings = sampler.readings()
    assert (await anext(readings)).snapshots == ()
    for _ in range(3):
        await sampler.refresh()
    assert (await anext(readings)).snapshots[0].free_bytes == 3
    waiting = asyncio.create_task(anext(readings))
    await asyncio.sleep(0)
    assert not waiting.done()
    await sampler.refresh()
    assert (await waiting).snapshots[0].free_bytes == 4
    await readings.aclose()


async def test_history_is_close_for_minutes_coarse_for_an_hour_and_bounded(sampler, source):
    for second in range(2 * 3600):
        source.now_s = float(second)
        await sampler.refresh()
    times = [s.sampled_at_s for s in sampler.history("cpu")]
    assert times == sorted(set(times))
    assert times[-300:] == [float(t) for t in range(6900, 7200)]
    assert 3200 <= times[-1] - times[0] <= 3600
    assert {b - a for a, b in pairwise(times[:100])} == {30.0}
    assert len(times) <= 420


async def test_a_device_never_seen_has_no_history(sampler):
    assert sampler.history("GPU-none") == ()
