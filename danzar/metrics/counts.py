"""What was counted since the start: counters and histograms, for one event loop."""

import logging
from collections import defaultdict
from collections.abc import Sized

from danzar.metrics.names import Metric
from danzar.metrics.text import Distribution, Family, Labels

log = logging.getLogger(__name__)

MOST_SERIES = 2_000
"""Of one metric: models, cards and reasons are few; what grows beyond is a mistake."""


class Counts:
    """Counts by metric and label values. Series stay until the process ends."""

    def __init__(self) -> None:
        self._sums: dict[Metric, dict[Labels, float]] = defaultdict(dict)
        self._distributions: dict[Metric, dict[Labels, Distribution]] = defaultdict(dict)
        self._full: set[str] = set()

    def add(self, metric: Metric, *values: str, by: float = 1) -> None:
        """Count ``by`` more; 0 begins the series, so that its first step is seen."""
        rows = self._sums[metric]
        if values in rows:
            rows[values] += by
        elif self._has_room(metric, rows):
            rows[values] = by

    def observe(self, metric: Metric, value: float, *values: str) -> None:
        """Count one into a histogram."""
        self.begin(metric, *values)
        found = self._distributions[metric].get(values)
        if found is not None:
            found.note(value)

    def begin(self, metric: Metric, *values: str) -> None:
        """Begin a histogram that has counted nothing yet; one that was begun goes on."""
        rows = self._distributions[metric]
        if values not in rows and self._has_room(metric, rows):
            rows[values] = Distribution(metric.buckets)

    def families(self) -> list[Family]:
        """Everything, to be read at once."""
        return [*self._sums.items(), *self._distributions.items()]

    def _has_room(self, metric: Metric, rows: Sized) -> bool:
        if len(rows) < MOST_SERIES:
            return True
        if metric.name not in self._full:
            self._full.add(metric.name)
            log.warning("%s has %d series; more are not counted", metric.name, len(rows))
        return False
