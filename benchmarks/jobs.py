"""What jobs cost beside calling the model directly, in one run.

    uv run python -m benchmarks.jobs                       all of it: about six minutes
    uv run python -m benchmarks.jobs latency http nodes depth
    uv run python -m benchmarks.jobs --json

    latency  a job from `submit` to its output here, over the same request asked directly; queue
             embedded, and a Redis of its own on loopback
    http     `danzar serve`: a job in three calls (POST, events, result), over one chat completion
    nodes    two `danzar node` processes over one, on one Redis; the model sleeps for its answer:
             simulated compute
    depth    accepting, looking, taking and ending a job with 10 to 100,000 others waiting

The model is `echo`, a real worker process that repeats what it is told: nothing here depends on how
fast a model computes. Everything but `nodes` shares the machine's processor with what is measured.
Needs redis-server.
"""

import argparse
import asyncio
import json
from collections.abc import Callable
from typing import Any

from benchmarks import jobs_depth, jobs_latency, jobs_nodes
from benchmarks.jobs_world import EMBEDDED, REDIS

ROUNDS = 300
JOBS = 60
COMPUTE_S = 0.3
KINDS = (EMBEDDED, REDIS)


def latency(rounds: int) -> list[dict[str, Any]]:
    return [asyncio.run(jobs_latency.compare(kind, rounds)) for kind in KINDS]


def http(rounds: int) -> dict[str, Any]:
    return asyncio.run(jobs_latency.compare_http(rounds))


def nodes(rounds: int) -> dict[str, Any]:
    del rounds
    return asyncio.run(jobs_nodes.compare(JOBS, COMPUTE_S))


def depth(rounds: int) -> list[dict[str, Any]]:
    return [asyncio.run(jobs_depth.compare(kind, rounds)) for kind in KINDS]


def show_latency(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(
            f"{row['queue']}: a job {row['job_p50_ms']} ms (99 %: {row['job_p99_ms']}), directly "
            f"{row['direct_p50_ms']} ms (99 %: {row['direct_p99_ms']}): {row['added_p50_ms']} ms "
            f"added (median of {row['rounds']}); accepted after {row['accepted_p50_ms']} ms"
        )


def show_http(row: dict[str, Any]) -> None:
    print(
        f"HTTP: a job in three calls {row['job_p50_ms']} ms (99 %: {row['job_p99_ms']}), a chat "
        f"completion {row['chat_p50_ms']} ms: {row['added_p50_ms']} ms added"
    )


def show_nodes(row: dict[str, Any]) -> None:
    print(
        f"{row['jobs']} jobs of {row['compute_s']} s (simulated compute): one node "
        f"{row['one_node_jobs_s']} jobs/s (the model alone: {row['best_possible_one_node_jobs_s']})"
        f", two nodes {row['two_nodes_jobs_s']}: {row['ratio']} times, at worst "
        f"{row['worst_ratio']}; {row['by_node']}"
    )


def show_depth(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(f"{row['queue']} ({row['disk_bytes_a_job']} bytes on disk a job)")
        for at in row["depths"]:
            print(
                f"  {at['waiting']:>7} waiting: accept {at['submit_p50_ms']} ms (99 %: "
                f"{at['submit_p99_ms']}), look {at['view_p50_ms']}, take {at['take_p50_ms']}, end "
                f"{at['end_p50_ms']}; {at['bytes_a_job']} bytes a job in memory"
            )


PARTS: dict[str, tuple[Callable[[int], Any], Callable[[Any], None]]] = {
    "latency": (latency, show_latency),
    "http": (http, show_http),
    "nodes": (nodes, show_nodes),
    "depth": (depth, show_depth),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = {}
    for name in options.parts or PARTS:
        measure, show = PARTS[name]
        results[name] = measure(options.rounds)
        if not options.json:
            show(results[name])
    if options.json:
        print(json.dumps(results, indent=2))


if __name__ == "__main__":
    main()
