"""What of the benchmarks can be said without measuring: their settings, loads and figures."""

from collections import Counter

from benchmarks.jobs_depth import compare
from benchmarks.jobs_world import EMBEDDED, MODEL, ms, write_config
from benchmarks.swapping_real import CARD, CAST, MEMORY, asks, request_for
from danzar.config.load import load_config
from danzar.core.asker import RequestClass


def test_milliseconds_are_those_of_the_nearest_rank():
    assert ms([0.004, 0.001, 0.002, 0.003]) == 2.0
    assert ms([0.001] * 98 + [0.5] * 2, 99) == 500.0


def test_the_settings_of_the_jobs_benchmark_are_in_order(tmp_path):
    config = load_config(write_config(tmp_path, "redis://127.0.0.1:1/0", 0.15), {})
    assert config.models.use.chat == MODEL
    assert config.models.models[MODEL].settings == {"word_s": 0.15}
    assert config.bot.jobs.url == "redis://127.0.0.1:1/0"


async def test_the_cost_of_a_job_is_measured_at_every_depth_and_leaves_the_depth_as_it_is():
    row = await compare(EMBEDDED, 3, (10, 20))
    assert [at["waiting"] for at in row["depths"]] == [10, 20]
    costs = ("submit_p50_ms", "view_p50_ms", "take_p50_ms", "end_p50_ms")
    assert all(at[cost] >= 0 for at in row["depths"] for cost in costs)
    assert row["disk_bytes_a_job"] > 0


def test_the_real_workers_are_asked_what_the_simulation_asks():
    lines = asks(seed=7, requests=100, seconds=60.0)
    assert len(lines) == 100
    assert max(line.at_s for line in lines) <= 60.0
    assert {line.model for line in lines} == set(CAST.values()) == set(MEMORY)
    assert set(Counter(line.request_class for line in lines)) == set(RequestClass)


def test_the_declared_footprints_exclude_each_other():
    assert all(size < CARD for size in MEMORY.values())
    assert MEMORY["smollm2"] + MEMORY["tiny-turbo"] > CARD
    assert len({type(request_for(model)) for model in MEMORY}) == len(MEMORY)
