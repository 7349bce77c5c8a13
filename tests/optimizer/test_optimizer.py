"""The seed's class: what it answers, what it asks others to do, and what it remembers."""

import asyncio
from datetime import timedelta

import pytest

from danzar.config.optimizer import MemoryConfig
from danzar.core.batch_curve import BatchCurve
from danzar.core.batching import BatchInputs, BatchRules, BatchState, next_batch
from danzar.core.events import BatchChanged
from danzar.core.upkeep import TrimLevel, TrimReport
from danzar.errors import BadInput
from danzar.optimizer.optimizer import KEPT_RESULTS
from danzar.units import GIB, MIB
from tests.optimizer.rig import CONFIGURED, NOON, card, make_rig, row, view


async def test_optimizing_tells_the_bytes_that_came_back() -> None:
    rig = make_rig()

    result = await rig.optimizer.optimize_memory()

    assert result.success
    assert result.action_taken == "trim"
    assert result.memory_freed_bytes == 120 * MIB
    assert result.reason == "torch on cuda:1 (simulated): 120MB given back"
    assert (result.batch_size_before, result.batch_size_after) == (8, 8)
    assert rig.told == [result]


async def test_freed_bytes_that_nobody_measured_are_unknown() -> None:
    rig = make_rig(report=TrimReport((row(None),)))

    result = await rig.optimizer.optimize_memory()

    assert result.memory_freed_bytes is None
    assert "an unknown amount given back" in result.reason


async def test_a_worker_that_fails_is_no_success() -> None:
    rig = make_rig(report=TrimReport((row(None, error="it hangs"), row(MIB))))

    result = await rig.optimizer.optimize_memory()

    assert not result.success
    assert "torch on cuda:1 (simulated): it hangs" in result.reason


async def test_a_worker_that_was_started_anew_is_told() -> None:
    rig = make_rig(report=TrimReport((row(GIB, recycled=True),)))

    assert (await rig.optimizer.optimize_memory()).action_taken == "trim+recycle"


@pytest.mark.parametrize(
    ("used_gib", "level"), [(10.0, TrimLevel.GENTLE), (11.5, TrimLevel.AGGRESSIVE)]
)
async def test_above_the_critical_threshold_it_is_done_thoroughly(
    used_gib: float, level: TrimLevel
) -> None:
    rig = make_rig()
    rig.cards.cards = (card(0), card(1, used_gib))

    await rig.optimizer.optimize_memory()

    assert rig.upkeep.asked == [level]


async def test_disabled_it_touches_nothing_and_says_what_to_type() -> None:
    rig = make_rig(MemoryConfig(enabled=False))

    result = await rig.optimizer.optimize_memory()

    assert not result.success
    assert "danzar optimizer enable" in result.reason
    assert rig.upkeep.asked == []
    assert rig.optimizer.get_current_batch_size() == CONFIGURED


async def test_the_batch_is_the_smallest_of_the_loaded_models() -> None:
    rig = make_rig()
    rig.models.views = [view(8), view(5)]

    assert rig.optimizer.get_current_batch_size() == 5


async def test_without_a_vision_model_the_batch_is_the_configured_one() -> None:
    rig = make_rig()
    rig.models.views = []

    assert rig.optimizer.get_current_batch_size() == CONFIGURED


class TestSettingTheBatch:
    def test_it_stays_until_it_is_taken_back(self) -> None:
        rig = make_rig()

        assert rig.optimizer.set_batch_size(4) == 8
        assert rig.optimizer.status().manual_batch_size == 4
        rig.optimizer.set_batch_size(None)

        assert rig.models.fixed == [4, None]
        assert rig.optimizer.status().manual_batch_size is None

    @pytest.mark.parametrize("size", [0, -1, 17])
    def test_out_of_range_it_is_refused(self, size: int) -> None:
        rig = make_rig()

        with pytest.raises(BadInput, match=r"allowed: 1 to 16"):
            rig.optimizer.set_batch_size(size)

        assert rig.models.fixed == []

    def test_above_what_memory_allows_it_is_refused_with_the_numbers(self) -> None:
        rig = make_rig()
        rig.models.views = [view(4, limit=6)]

        with pytest.raises(
            BadInput, match=r"yolo on cuda:1 \(simulated\) has room for 6 \(2\.0 GiB have room\)"
        ):
            rig.optimizer.set_batch_size(7)

        assert rig.models.fixed == []

    def test_disabled_it_is_refused(self) -> None:
        rig = make_rig(MemoryConfig(enabled=False))

        with pytest.raises(BadInput, match="danzar optimizer enable"):
            rig.optimizer.set_batch_size(4)

    async def test_settings_that_forbid_it_take_it_back(self) -> None:
        rig = make_rig()
        rig.optimizer.set_batch_size(12)

        await rig.optimizer.configure(MemoryConfig(max_batch_size=8))

        assert rig.optimizer.status().manual_batch_size is None
        assert rig.models.fixed == [12, None]


async def test_stopping_pauses_the_clean_up_and_starting_goes_on() -> None:
    rig = make_rig()

    await rig.optimizer.stop_monitoring()
    assert rig.upkeep.paused
    assert not rig.optimizer.is_monitoring
    await rig.optimizer.start_monitoring()

    assert not rig.upkeep.paused
    assert rig.optimizer.is_monitoring


async def test_what_happens_by_itself_is_remembered_once() -> None:
    rig = make_rig()
    rig.models.batch_changes.append((990.0, BatchChanged("yolo", 8, 12, "there is room")))

    await rig.optimizer.look()
    await rig.optimizer.look()

    (result,) = rig.told
    assert result.automatic
    assert result.reason == "yolo: there is room"
    assert (result.batch_size_before, result.batch_size_after) == (8, 12)
    assert result.at == NOON - timedelta(seconds=10)


async def test_what_a_person_set_is_no_step_of_its_own() -> None:
    rig = make_rig()
    small = BatchState(8, 0.0)
    seen = BatchInputs(BatchCurve(), 0, GIB, GIB, fixed_size=4)
    after, reason = next_batch(small, seen, BatchRules(), 10.0)
    rig.models.batch_changes.append((990.0, BatchChanged("yolo", 8, after.size, reason)))

    await rig.optimizer.look()

    assert after.size == 4
    assert [result.automatic for result in rig.told] == [False]


async def test_the_task_looks_by_itself_and_not_while_stopped() -> None:
    rig = make_rig(MemoryConfig(monitoring_interval=1))
    running = asyncio.create_task(rig.optimizer.run())
    try:
        await rig.optimizer.stop_monitoring()
        rig.models.batch_changes.append((990.0, BatchChanged("yolo", 8, 12, "there is room")))
        for _ in range(20):
            await asyncio.sleep(0)
        assert rig.told == []

        async with asyncio.timeout(10):
            await rig.optimizer.start_monitoring()
            while not rig.told:
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_the_history_is_the_seeds_and_has_an_end() -> None:
    rig = make_rig()
    for _ in range(KEPT_RESULTS + 5):
        await rig.optimizer.optimize_memory()

    history = rig.optimizer.get_optimization_history()

    assert len(history) == KEPT_RESULTS
    for entry in history:
        assert f"Action: {entry['action_taken']}, Success: {entry['success']}" == (
            "Action: trim, Success: True"
        )


def test_the_figures_of_a_card_are_those_that_were_measured() -> None:
    rig = make_rig()

    first, second = rig.optimizer.get_memory_status()

    assert (first.device, first.simulated, first.total_bytes) == ("cuda:0", True, 12 * GIB)
    assert (first.used_bytes, first.free_bytes) == (2 * GIB, 10 * GIB)
    assert first.used_pct == pytest.approx(100 / 6)
    assert (first.power_w, first.fragmentation_pct) == (None, None)
    assert (first.current_batch_size, first.optimal_batch_size) == (None, None)
    assert (second.current_batch_size, second.optimal_batch_size) == (8, 12)
