import asyncio
import time

from danzar.loop_lag import LoopLag


async def test_a_blocked_loop_shows_as_lag():
    lag = LoopLag()
    running = asyncio.create_task(lag.run())
    await asyncio.sleep(0.05)
    time.sleep(0.2)  # noqa: ASYNC251 - this is the offence that must be seen
    await asyncio.sleep(0.05)
    running.cancel()
    assert lag.max_s is not None
    assert lag.max_s > 0.1


def test_nothing_is_known_before_the_first_measurement():
    assert LoopLag().p99_s is None
