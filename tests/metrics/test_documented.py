"""What docs/metrics.md says of names and labels is what there is."""

import re
from pathlib import Path

import pytest

from danzar.broker.news import LoadOutcome, RequestOutcome
from danzar.core.asker import RequestClass
from danzar.core.book import LeaseState
from danzar.core.leaving import UnloadCause
from danzar.metrics.names import METRICS, Kind

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "metrics.md").read_text(encoding="utf-8")
REFERENCE = (DOCS / "reference" / "metrics.md").read_text(encoding="utf-8")
_NAME = re.compile(r"`?\b((?:vlm|danzar)_[a-z0-9_]+)\b(?!/)")


def known_names():
    """As they are written in queries: histograms with what their samples are called."""
    parts = ("", "_bucket", "_count", "_sum")
    return {
        metric.name + part
        for metric in METRICS
        for part in (parts if metric.kind is Kind.HISTOGRAM else ("",))
    }


def test_every_metric_that_is_written_about_is_there():
    written = set(_NAME.findall(PAGE)) | set(_NAME.findall(REFERENCE))
    assert written - known_names() == set()


def test_every_metric_is_in_the_reference_with_its_labels():
    for metric in METRICS:
        (row,) = [line for line in REFERENCE.splitlines() if line.startswith(f"| `{metric.name}`")]
        assert re.findall(r"`([a-z_]+)`", row.split("|")[3]) == list(metric.labels)


@pytest.mark.parametrize(
    ("label", "values"),
    [
        ("`request_class`", RequestClass),
        ("`outcome` of requests", RequestOutcome),
        ("`outcome` of loads", LoadOutcome),
        ("`reason` of evictions", UnloadCause),
        ("`state` of leases", LeaseState),
    ],
)
def test_every_value_of_a_label_is_explained(label, values):
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| {label} |")]
    told = re.findall(r"`([a-z_]+)`", row.split("|")[2])
    assert sorted(told) == sorted(values)
