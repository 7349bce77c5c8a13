"""What eviction by cost saves, on traces that nothing was tuned on; all of it simulated."""

from dataclasses import replace
from pathlib import Path

import pytest

from danzar.commands.described import read_trace, read_world
from danzar.simulate.simulation import Simulation

EXAMPLES = Path(__file__).parents[2] / "config/examples"


def run(devices: str, trace: str, policy: str):
    world = read_world(EXAMPLES / devices)
    world = replace(world, sample_interval_s=20.0).with_policy(policy)
    return Simulation(world, read_trace(trace, world)).run()


@pytest.mark.parametrize("devices", ["one-card.yaml", "two-cards.yaml"])
@pytest.mark.parametrize("maker", ["zipf", "daynight"])
def test_cost_spends_fewer_reload_seconds_than_lru_and_evicts_nobody_in_vain(devices, maker):
    reload_s = {"lru": 0.0, "cost": 0.0}
    for seed in (101, 102):
        for policy in reload_s:
            report = run(devices, f"{maker}:{seed}:500", policy)
            reload_s[policy] += report.reload_s
            assert (report.over_commits, report.unanswered) == (0, 0)
            assert policy != "cost" or report.futile_evictions == 0
    assert reload_s["cost"] < 0.95 * reload_s["lru"]
