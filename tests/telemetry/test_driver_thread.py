import asyncio
import threading

import pytest

from danzar.errors import TelemetryUnavailable
from danzar.telemetry.driver_thread import DriverThread


@pytest.fixture
def thread():
    thread = DriverThread("test", timeout_s=0.05)
    yield thread
    thread.stop()


async def until_it_answers(thread):
    async with asyncio.timeout(10):
        while True:
            try:
                assert await thread.call(lambda: 2) == 2
            except TelemetryUnavailable:
                await asyncio.sleep(0.001)
            else:
                return


async def test_results_and_errors_come_back_to_who_asked(thread):
    assert await thread.call(lambda: 42) == 42
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)


async def test_calls_run_one_after_another_in_one_thread(thread):
    names = await asyncio.gather(
        *(thread.call(lambda: threading.current_thread().name) for _ in range(5))
    )
    assert set(names) == {"test"}


async def test_while_a_call_hangs_new_ones_fail_without_waiting_and_later_work(thread):
    release = threading.Event()
    with pytest.raises(TelemetryUnavailable):
        await thread.call(lambda: release.wait(30))
    with pytest.raises(TelemetryUnavailable):
        thread.call(lambda: 1).send(None)  # at its first step, before any wait
    release.set()
    await until_it_answers(thread)


async def test_a_call_that_waited_behind_a_hanging_one_never_runs_late(thread):
    release = threading.Event()
    ran = []
    hanging = asyncio.create_task(thread.call(lambda: release.wait(30)))
    waiting = asyncio.create_task(thread.call(lambda: ran.append(1)))
    results = await asyncio.gather(hanging, waiting, return_exceptions=True)
    assert [type(r) for r in results] == [TelemetryUnavailable] * 2
    release.set()
    await until_it_answers(thread)  # calls run in order: the late one's turn is over
    assert ran == []
