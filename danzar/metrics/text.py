"""Metrics as the text that Prometheus reads: its own format, or OpenMetrics. Pure.

``prometheus_client`` writes the same text, and reads it in the tests. It takes five times as long
(``benchmarks/scrape.py``): 15 ms for 8 cards and 30 models, on the event loop. Here the names and
labels of a line are made once, and a scrape puts numbers behind them.
"""

import math
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from danzar.metrics.names import NODE, Kind, Metric

TEXT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
OPEN_METRICS_TYPE = "application/openmetrics-text; version=1.0.0; charset=utf-8"
_MOST_PREFIXES = 16_384  # of 200 bytes or so
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})


@dataclass(slots=True)
class Distribution:
    """What a histogram counted: for each bucket, those that fell into it and into no smaller one.

    Attributes:
        counts: One more than there are bounds: the last has no bound.
    """

    bounds: tuple[float, ...]
    counts: list[int] = field(init=False)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = [0] * (len(self.bounds) + 1)

    def note(self, value: float) -> None:
        """Count one; a bucket takes its bound too."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


Labels = tuple[str, ...]
Rows = Mapping[Labels, float | Distribution]
"""By the values of a metric's labels, in the order of its row."""
Family = tuple[Metric, Rows]


def render(families: Iterable[Family], node: str, *, open_metrics: bool = False) -> bytes:
    """The whole text. A metric without rows is left out, and so is what is no number.

    Args:
        families: Each metric at most once.
        node: The value of the label that all have.
        open_metrics: Whether in that format.
    """
    lines: list[str] = []
    for metric, rows in families:
        samples = [
            line for values, value in rows.items() for line in _lines(metric, node, values, value)
        ]
        if samples:
            lines.append(_head(metric, open_metrics=open_metrics))
            lines += samples
    if open_metrics:
        lines.append("# EOF")
    lines.append("")
    return "\n".join(lines).encode()


def wants_open_metrics(accept: str) -> bool:
    """Whether who asks takes OpenMetrics; Prometheus does, and lists what it likes best first."""
    kinds = [part.split(";")[0].strip() for part in accept.split(",")]
    return "application/openmetrics-text" in kinds


def _lines(metric: Metric, node: str, values: Labels, value: float | Distribution) -> Iterable[str]:
    if not isinstance(value, Distribution):
        prefix = _prefix(metric.name, (NODE, *metric.labels), (node, *values))
        return (prefix + _number(value),) if math.isfinite(value) else ()
    prefixes = _histogram_prefixes(metric.name, metric.labels, metric.buckets, (node, *values))
    numbers: list[str] = []
    sum_so_far = 0
    for count in value.counts:
        sum_so_far += count
        numbers.append(str(sum_so_far))
    numbers += (str(sum_so_far), repr(value.total))
    return map("".join, zip(prefixes, numbers, strict=True))


@lru_cache(maxsize=_MOST_PREFIXES)
def _prefix(name: str, labels: tuple[str, ...], values: Labels) -> str:
    pairs = zip(labels, values, strict=True)
    inside = ",".join(f'{label}="{value.translate(_ESCAPES)}"' for label, value in pairs)
    return f"{name}{{{inside}}} "


@lru_cache(maxsize=_MOST_PREFIXES)
def _histogram_prefixes(
    name: str, labels: tuple[str, ...], bounds: tuple[float, ...], values: Labels
) -> tuple[str, ...]:
    known = (NODE, *labels)
    ends = (*(repr(float(bound)) for bound in bounds), "+Inf")
    buckets = (_prefix(f"{name}_bucket", (*known, "le"), (*values, end)) for end in ends)
    return (
        *buckets,
        _prefix(f"{name}_count", known, values),
        _prefix(f"{name}_sum", known, values),
    )


@lru_cache
def _head(metric: Metric, *, open_metrics: bool) -> str:
    name = metric.name
    if open_metrics and metric.kind is Kind.COUNTER:
        name = name.removesuffix("_total")
    text = metric.text.replace("\\", r"\\").replace("\n", r"\n")
    if open_metrics:
        text = text.replace('"', r"\"")
    return f"# HELP {name} {text}\n# TYPE {name} {metric.kind}"


def _number(value: float) -> str:
    return str(value + 0)  # of a level or a truth, its number
