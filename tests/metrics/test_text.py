import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as read_open_metrics,
)
from prometheus_client.parser import text_string_to_metric_families as read_text

from danzar.core.pressure import Level
from danzar.metrics.names import METRICS, Kind, Metric
from danzar.metrics.text import Distribution, render, wants_open_metrics

GAUGE = Metric("cards", Kind.GAUGE, 'How "many", a\\b\nnext', ("device",))
COUNTER = Metric("loads_total", Kind.COUNTER, "Loads", ("model",))
WAITS = Metric("wait_seconds", Kind.HISTOGRAM, "Waits", (), (0.5, 1.0))


def values(text):
    """Every sample by its name and labels."""
    return {
        (s.name, tuple(sorted(s.labels.items()))): s.value
        for family in read_text(text.decode())
        for s in family.samples
    }


@given(st.text(), st.text(), st.floats(allow_nan=False, allow_infinity=False))
def test_any_label_and_any_number_is_read_back_as_it_was(node, device, value):
    text = render([(GAUGE, {(device,): value})], node)
    labels = (("device", device), ("node", node))
    assert values(text) == {("cards", labels): value}


def test_a_metric_is_told_with_its_help_and_type():
    family = next(iter(read_text(render([(GAUGE, {("a",): 1})], "n").decode())))
    assert (family.name, family.type) == ("cards", "gauge")
    assert family.documentation == GAUGE.text


@pytest.mark.parametrize("unknown", [math.nan, math.inf, -math.inf])
def test_what_is_no_number_and_what_has_no_rows_is_left_out(unknown):
    assert render([(GAUGE, {("a",): unknown}), (COUNTER, {})], "n") == b""


def test_a_level_is_told_as_its_number():
    assert b'{node="n",device="a"} 2\n' in render([(GAUGE, {("a",): Level.CRITICAL})], "n")


def test_a_bucket_counts_all_that_took_no_longer_and_its_bound_too():
    waits = Distribution(WAITS.buckets)
    for seconds in (0.1, 0.5, 0.7, 3.0):
        waits.note(seconds)
    read = values(render([(WAITS, {(): waits})], "n"))
    told = {dict(labels).get("le", name): value for (name, labels), value in read.items()}
    assert told == {
        "0.5": 2,
        "1.0": 3,
        "+Inf": 4,
        "wait_seconds_count": 4,
        "wait_seconds_sum": pytest.approx(4.3),
    }


def test_open_metrics_is_read_by_its_own_strict_parser():
    waits = Distribution(WAITS.buckets)
    waits.note(0.2)
    families = [(GAUGE, {("a",): 1.5}), (COUNTER, {("chat",): 3}), (WAITS, {(): waits})]
    read = {f.name: f for f in read_open_metrics(render(families, "n", open_metrics=True).decode())}
    assert {name: f.type for name, f in read.items()} == {
        "cards": "gauge",
        "loads": "counter",
        "wait_seconds": "histogram",
    }
    assert read["loads"].samples[0].value == 3


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", False),
        ("text/plain", False),
        ("*/*", False),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", True),
    ],
)
def test_open_metrics_goes_to_who_asks_for_it(accept, wanted):
    assert wants_open_metrics(accept) is wanted


def test_names_are_unique_and_follow_prometheus_conventions():
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    for metric in METRICS:
        assert metric.name.startswith(("vlm_", "danzar_"))
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
        assert list(metric.buckets) == sorted(set(metric.buckets))
        assert metric.text
        assert not metric.text.endswith(".")
        assert "node" not in metric.labels


def test_the_seeds_fifteen_are_there_by_name():
    seed = {metric.name for metric in METRICS if metric.name.startswith("vlm_")}
    assert seed == {
        "vlm_memory_usage_percent",
        "vlm_memory_total_bytes",
        "vlm_memory_used_bytes",
        "vlm_memory_free_bytes",
        "vlm_gpu_utilization_percent",
        "vlm_gpu_temperature_celsius",
        "vlm_gpu_power_usage_watts",
        "vlm_memory_fragmentation_percent",
        "vlm_current_batch_size",
        "vlm_optimal_batch_size",
        "vlm_memory_optimizations_total",
        "vlm_memory_optimizations_success_total",
        "vlm_memory_cleanups_total",
        "vlm_batch_size_optimizations_total",
        "vlm_memory_freed_bytes_total",
    }
