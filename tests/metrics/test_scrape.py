import asyncio

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from benchmarks.scrape_world import NODE, scrape_world
from danzar.core.events import SnapshotsTaken, UnloadFinished, UnloadRequested
from danzar.metrics.names import METRICS

OPEN_METRICS = "application/openmetrics-text"
# What this world has not: a model that failed, a reservation.
_NOT_HERE = {"danzar_model_failed", "danzar_device_reserved_bytes"}


@pytest.fixture(scope="module")
def world():
    return scrape_world()


def families(world):
    return {f.name: f for f in read_text(world.metrics.render()[0].decode())}


def samples(world, name):
    found = families(world).get(name.removesuffix("_total")) or families(world).get(name)
    return [] if found is None else found.samples


def test_a_scrape_asks_no_driver_and_waits_for_nothing(world):
    for _ in range(3):
        world.metrics.render()
    assert world.telemetry.asked == 1


def test_every_metric_of_the_table_is_told_and_no_other(world):
    world.metrics.render()  # so that there is a last scrape to tell of
    text = world.metrics.render()[0].decode()
    told = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    known = {metric.name for metric in METRICS}
    assert told <= known
    assert known - told == _NOT_HERE


def test_every_sample_has_the_labels_of_its_row_and_the_node(world):
    rows = {metric.name: metric for metric in METRICS}
    for family in families(world).values():
        metric = rows.get(family.name) or rows[f"{family.name}_total"]
        for sample in family.samples:
            assert sample.labels["node"] == NODE
            assert set(sample.labels) - {"node", "le"} == set(metric.labels)


def test_both_formats_tell_the_same(world):
    text, kind = world.metrics.render(OPEN_METRICS)
    assert kind.startswith(OPEN_METRICS)
    plain = {
        (s.name, tuple(sorted(s.labels.items())))
        for f in read_text(world.metrics.render()[0].decode())
        for s in f.samples
    }
    strict = {
        (s.name, tuple(sorted(s.labels.items())))
        for f in read_open_metrics(text.decode())
        for s in f.samples
    }
    assert plain == strict


def test_a_cards_figures_are_the_measured_ones(world):
    card = next(s for s in samples(world, "vlm_memory_used_bytes"))
    assert card.labels["device"] == "cuda:0"
    assert card.labels["simulated"] == "true"
    assert card.value == world.telemetry.snapshots[0].used_bytes


def test_a_model_that_left_and_a_card_that_is_gone_are_told_of_no_more():
    world = scrape_world(cards=2, models=2, peers=0)
    left = "model-00-instruct"
    assert any(s.labels["model"] == left for s in samples(world, "danzar_model_loaded"))
    snapshots = world.scheduler.state.snapshots
    for effect in world.scheduler.handle(UnloadRequested(left), 2000.0):
        event = UnloadFinished(effect.model, effect.load_id, snapshots)
        world.scheduler.handle(event, 2000.0)
    assert not any(s.labels["model"] == left for s in samples(world, "danzar_model_loaded"))
    assert not any(s.labels["model"] == left for s in samples(world, "vlm_current_batch_size"))
    gone = world.telemetry.snapshots[1].uuid
    fewer = tuple(s for s in snapshots if s.uuid != gone)
    world.scheduler.handle(SnapshotsTaken(fewer), 2001.0)
    world.telemetry.asked, world.telemetry.snapshots = 0, fewer
    asyncio.run(world.sampler.refresh())
    gauges = [f for f in families(world).values() if f.type == "gauge"]
    assert not any(s.labels.get("gpu") == gone for f in gauges for s in f.samples)


def test_what_chat_models_keep_of_conversations_is_told_by_model(world):
    told = {s.labels["model"]: s.value for s in samples(world, "danzar_prompt_cache_bytes")}
    assert told["model-00-instruct"] == 256 * 1024**2
