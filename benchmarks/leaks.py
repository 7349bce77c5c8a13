"""How soon leaks are found, and what else is called one: ``python -m benchmarks.leaks``.

Many made-up days (``memory_traces``) through the detector of ``danzar.core.leaks``. Its figures
were chosen on other seeds than those that count here.
"""

import argparse
import statistics
import time

from benchmarks.memory_traces import LeakPlan, trace
from danzar.core.leaks import LeakTrack

_RATES_MB = (100.0, 50.0, 25.0, 12.0, 5.0, 2.0)
_BEGIN_S = 7200.0


def false_alarms(seeds: range, hours: float) -> list[tuple[int, float, float]]:
    """Of each day that had one: its seed, when (hours), and the rate (MB a minute)."""
    found = []
    for seed in seeds:
        track = LeakTrack()
        for sample in trace(seed, hours=hours):
            leak = track.add(sample.at_s, sample.used_bytes, sample.hosts)
            if leak is not None:
                found.append((seed, sample.at_s / 3600, leak.bytes_per_min / 1e6))
                break
    return found


def minutes_to_find(seed: int, mb_per_min: float, *, lump_s: float = 0.0) -> float | None:
    """From a leak's beginning until it is found; ``None``: not within twelve hours."""
    plan = LeakPlan(mb_per_min * 1e6, _BEGIN_S, lump_s)
    track = LeakTrack()
    for sample in trace(seed, hours=14, leak=plan):
        if track.add(sample.at_s, sample.used_bytes, sample.hosts) and sample.at_s > _BEGIN_S:
            return (sample.at_s - _BEGIN_S) / 60
    return None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--days", type=int, default=40, help="days without a leak")
    parser.add_argument("--leaks", type=int, default=20, help="leaks of each rate")
    options = parser.parse_args()
    began_s = time.perf_counter()
    alarms = false_alarms(range(20000, 20000 + options.days), 24.0)
    print(f"{options.days} days of 24 h without a leak: {len(alarms)} false alarms {alarms}")
    print("leak        found   median   longest (minutes)   within 10 minutes")
    for rate in _RATES_MB:
        tell(f"{rate:g} MB/min", [minutes_to_find(30000 + n, rate) for n in range(options.leaks)])
    lumps = [minutes_to_find(30000 + n, 50.0, lump_s=30.0) for n in range(options.leaks)]
    tell("50 in lumps", lumps)
    print(f"took {time.perf_counter() - began_s:.0f} s")


def tell(name: str, minutes: list[float | None]) -> None:
    """One row."""
    known = [m for m in minutes if m is not None]
    middle, longest = (statistics.median(known), max(known)) if known else (0.0, 0.0)
    soon = sum(m <= 10 for m in known)
    print(f"{name:11} {len(known):3}/{len(minutes)} {middle:8.1f} {longest:9.1f}{soon:22}")


if __name__ == "__main__":
    main()
