"""What one scrape costs: ``python -m benchmarks.scrape [--cards 8 --models 30 --peers 16]``.

A scrape runs on the bot's event loop: what counts is the processor time of its thread. For
comparison the same text is read by ``prometheus_client`` and written by it again.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

from prometheus_client import Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector, CollectorRegistry

from benchmarks.scrape_world import scrape_world

ROUNDS = 200


class _Given(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        return iter(self._families)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cards", type=int, default=8)
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--peers", type=int, default=16)
    options = parser.parse_args()
    world = scrape_world(cards=options.cards, models=options.models, peers=options.peers)
    body, _ = world.metrics.render()
    print(f"{options.cards} cards, {options.models} models, {options.peers} peers:")
    print(f"{len(body.splitlines())} lines, {len(body)} bytes")
    tell("the whole scrape", world.metrics.render)
    tell("  of it, gathering", world.metrics.families)
    families = list(text_string_to_metric_families(body.decode()))
    registry = CollectorRegistry()
    registry.register(_Given(families))
    tell("prometheus_client writes the same", lambda: generate_latest(registry))


def tell(what: str, act: Callable[[], object]) -> None:
    """Print the median, the 99th percentile and the worst of many rounds, ms of this thread."""
    taken_ms = []
    for _ in range(ROUNDS):
        began_s = time.thread_time()
        act()
        taken_ms.append(1000 * (time.thread_time() - began_s))
    cuts = statistics.quantiles(taken_ms, n=100)
    print(f"{what}: median {cuts[49]:.2f} ms, p99 {cuts[98]:.2f} ms, worst {max(taken_ms):.2f} ms")


if __name__ == "__main__":
    main()
