"""Vision batches: how close to the best, and how calm: ``python -m benchmarks.vision_batching``.

1. The shipped detector and CLIP on this machine: every fixed batch size, and the size that Danzar
   chooses from what it measured itself, in turns in one run. The ratio counts.
2. An hour in which other programs' memory wanders about a simulated card (a reading each second, a
   batch at any time), with the scheduler that Danzar runs: how often a batch did not fit, how often
   its size changed, and its throughput against every fixed size and against one that knows what is
   free at every moment. What a batch takes and how long is invented, with a
   fixed cost per batch as on a GPU.
"""

import argparse
import functools
import random
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise

from danzar.core.batch_curve import BatchCurve, BatchPoint
from danzar.core.batching import BatchRules, optimal_batch
from danzar.core.book import Margins
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.events import (
    BatchChanged,
    BatchesMeasured,
    BatchResized,
    Effect,
    JobEnded,
    JobSubmitted,
    LoadFinished,
    ResizeBatch,
    SnapshotsTaken,
    StartLoad,
)
from danzar.core.ledger import Ledger
from danzar.core.model import Job, ModelFacts
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.variant import Rung, Variant
from danzar.units import GIB, MIB
from danzar.workers.contract import Backend, LoadSpec, MeasureBatch, MeasuredBatch

SIZES = (1, 2, 4, 8, 16)
CARD = "GPU-simulated"
TOTAL_BYTES, WEIGHTS_BYTES, MODEL = 12 * GIB, 700 * MIB, "detector"
PIXELS = 640 * 640
HOUR_S = 3600


def card_curve() -> BatchCurve:
    """Invented: 20 ms for each batch and 4 ms for each picture of 150 MiB."""
    points = [BatchPoint(b, PIXELS, b * 150 * MIB, 0.02 + 0.004 * b) for b in SIZES]
    return BatchCurve().with_points(points)


# --- part 1 --------------------------------------------------------------------------------------


def real_models() -> Iterator[tuple[str, Backend]]:
    """The shipped models, loaded on the CPU."""
    from danzar.config.load import load_config
    from danzar.models.manifest import load_spec

    config = load_config()
    from danzar.backends import clip, yolo

    for name, backend in (("yolo-nano", yolo), ("clip-doom", clip)):
        spec: LoadSpec = load_spec(config, name, "cpu", 0)
        yield name, backend.load(spec)[0]


def measure(model: Backend, size: int) -> BatchPoint:
    """One batch, as Danzar measures it."""
    (result,) = model.run(MeasureBatch(size), bool)
    if not isinstance(result, MeasuredBatch):
        raise TypeError(f"{type(result).__name__} instead of a measurement")
    work = result.work
    return BatchPoint(work.batch, work.pixels, work.activation_bytes, work.seconds)


def sweep(name: str, model: Backend, rounds: int) -> BatchCurve:
    """Throughput of each size and of the chosen one, in turns."""
    curve = BatchCurve().with_points(measure(model, size) for size in SIZES)
    rules = BatchRules()
    best = optimal_batch(curve, rules, 8 * GIB)
    sizes = sorted({*SIZES, best.size})
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            point = measure(model, size)
            if point.seconds:
                rates[size].append(size / point.seconds)
    middle = {size: statistics.median(rates[size]) for size in sizes}
    prompt = {b: r for b, r in middle.items() if b / r <= rules.latency_s}
    print(f"{name}: chosen {best.size} ({best.why})")
    for size in sizes:
        taken = curve.bytes_at(size) or 0
        print(f"  {size:3} at once: {middle[size]:7.1f} pictures/s, {taken / MIB:7.1f} MiB")
    ratio, any_ratio = (middle[best.size] / max(x.values()) for x in (prompt or middle, middle))
    print(f"  chosen against the best fixed within {rules.latency_s:g} s: {ratio:.0%}")
    print(f"  and against the best of all: {any_ratio:.0%}")
    return curve


# --- part 2 --------------------------------------------------------------------------------------


@dataclass(slots=True)
class Hour:
    """What came of an hour.

    Attributes:
        overruns: Batches that did not fit beside the others' memory when they ran.
        late_s: In how many of the hour's seconds that was.
        changes: When the size changed, seconds.
    """

    pictures: int = 0
    overruns: int = 0
    late_s: int = 0
    changes: list[int] = field(default_factory=list)

    @property
    def close_changes(self) -> int:
        """Changes less than a minute after the one before."""
        return sum(b - a < 60 for a, b in pairwise(self.changes))


def wander(seed: int, step_bytes: int) -> list[int]:
    """What other programs hold at each second of an hour: a random walk between bounds.

    Now and then one comes or goes at once, with up to 1 GiB.
    """
    dice = random.Random(seed)
    low, high = 1 * GIB, TOTAL_BYTES - WEIGHTS_BYTES - 500 * MIB
    held, walk = dice.uniform(high / 2, high), []
    for _ in range(HOUR_S):
        held += dice.gauss(0, step_bytes)
        if dice.random() < 1 / 300:
            held += dice.uniform(-GIB, GIB)
        held = min(high, max(low, held))
        walk.append(round(held))
    return walk


def batches(
    curve: BatchCurve, walk: list[int], size_at: Callable[[int], int], *, reserve_bytes: int = 0
) -> Hour:
    """An hour of batches back to back; ``size_at`` says how large at each second."""
    hour, at_s, late = Hour(), 0.0, set[int]()
    taken = {b: (curve.bytes_at(b) or 0, curve.seconds_at(b) or 1.0) for b in range(1, 17)}
    while at_s < HOUR_S:
        second = int(at_s)
        size = size_at(second)
        needed = WEIGHTS_BYTES + taken[size][0]
        at_s += taken[size][1]
        if needed + walk[second] > TOTAL_BYTES - reserve_bytes:
            hour.overruns += 1
            late.add(second)
        else:
            hour.pictures += size
    hour.late_s = len(late)
    return hour


class Card:
    """The scheduler with one detector on one simulated card; its worker does what is asked."""

    def __init__(self, curve: BatchCurve, rules: BatchRules, foreign_bytes: int) -> None:
        self.curve, self.foreign_bytes, self.now_s = curve, foreign_bytes, 0
        self.changes: list[int] = []
        load_bytes = WEIGHTS_BYTES + (curve.bytes_at(rules.max_batch) or 0)
        smaller = tuple(
            Variant(Rung.BATCH, WEIGHTS_BYTES + (curve.bytes_at(b) or 0), 0, (("max_batch", b),))
            for b in (8, 4, 2, 1)
        )
        variants = (Variant(Rung.FULL, load_bytes, 0), *smaller)
        facts = ModelFacts(MODEL, "torch", "vision", variants, allow_cpu=False, batch=16)
        ledger = Ledger(margins=Margins(256 * MIB, 0))
        self.scheduler = Scheduler([facts], ledger, SchedulerRules(batch=rules))
        self.held_bytes = 0
        self._tell(SnapshotsTaken(self._snapshots()))
        self._tell(JobSubmitted(Job(1, MODEL, 0.0)))
        self._tell(JobEnded(1, MODEL, succeeded=True))
        self._tell(BatchesMeasured(MODEL, curve.points))

    @property
    def size(self) -> int:
        """Pictures at once, now; 1 while it is not loaded."""
        tuned = self.scheduler.instances[MODEL].batch
        return tuned.state.size if tuned else 1

    def second(self, now_s: int, foreign_bytes: int) -> None:
        """A reading."""
        self.now_s, self.foreign_bytes = now_s, foreign_bytes
        self._tell(SnapshotsTaken(self._snapshots()))

    def _tell(self, event: object) -> None:
        for effect in self.scheduler.handle(event, float(self.now_s)):  # type: ignore[arg-type]
            self._do(effect)

    def _do(self, effect: Effect) -> None:
        match effect:
            case StartLoad(load_id=load_id, placed=placed):
                self.held_bytes = placed.size_bytes
                held = ((CARD, self.held_bytes),)
                self._tell(LoadFinished(MODEL, load_id, held, self._snapshots(), 1.0))
            case ResizeBatch():
                self.held_bytes += effect.more_bytes or 0
                size, load_id = effect.size, effect.load_id
                self._tell(
                    BatchResized(
                        MODEL, load_id, effect.before, size, effect.reason, self._snapshots()
                    )
                )
            case BatchChanged():
                self.changes.append(self.now_s)
            case _:
                pass

    def _snapshots(self) -> tuple[DeviceSnapshot, ...]:
        used = min(TOTAL_BYTES, self.held_bytes + self.foreign_bytes)
        free = TOTAL_BYTES - used
        return (
            DeviceSnapshot(
                uuid=CARD,
                index=0,
                name="simulated",
                kind=DeviceKind.CUDA,
                total_bytes=TOTAL_BYTES,
                free_bytes=free,
                used_bytes=used,
                utilisation_pct=None,
                temperature_c=None,
                power_w=None,
                processes=(),
                simulated=True,
                sampled_at_s=float(self.now_s),
            ),
        )


def danzars_hour(curve: BatchCurve, walk: list[int], rules: BatchRules) -> Hour:
    """The same hour with the production scheduler. A reading is a second old when it is used."""
    card, sizes = Card(curve, rules, walk[0]), []
    for second in range(HOUR_S):
        sizes.append(card.size)
        card.second(second, walk[second])
    hour = batches(curve, walk, sizes.__getitem__)
    hour.changes = card.changes
    return hour


def clairvoyant_hour(curve: BatchCurve, walk: list[int]) -> Hour:
    """The best size at each second, known before."""

    @functools.cache
    def best(second: int) -> int:
        room = TOTAL_BYTES - WEIGHTS_BYTES - walk[second]
        fitting = [b for b in range(1, 17) if (curve.bytes_at(b) or 0) <= room]
        return max(fitting, key=lambda b: curve.pictures_per_s(b) or 0.0, default=1)

    return batches(curve, walk, best)


def compare(curve: BatchCurve, seeds: range, step_bytes: int) -> None:
    """The table."""
    rules = BatchRules()
    ours, fixed_fair, fixed_safe, fixed_any, seer = [], [], [], [], []
    overruns = changes = close = late_s = 0
    for seed in seeds:
        walk = wander(seed, step_bytes)
        hour = danzars_hour(curve, walk, rules)
        others = [batches(curve, walk, lambda _, b=b: b) for b in range(1, 17)]  # type: ignore[misc]
        ours.append(hour.pictures)
        careful = [
            batches(curve, walk, lambda _, b=b: b, reserve_bytes=rules.reserve_bytes)  # type: ignore[misc]
            for b in range(1, 17)
        ]
        fixed_fair.append(max(x.pictures for x in careful))
        fixed_safe.append(max((x.pictures for x in others if not x.overruns), default=0))
        fixed_any.append(max(x.pictures for x in others))
        seer.append(clairvoyant_hour(curve, walk).pictures)
        overruns += hour.overruns
        changes += len(hour.changes)
        close += hour.close_changes
        late_s += hour.late_s
    fair, safe, best, known = (
        [a / b if b else float("inf") for a, b in zip(ours, x, strict=True)]
        for x in (fixed_fair, fixed_safe, fixed_any, seer)
    )
    hours = len(seeds)
    print(f"{hours} hours, others wander by {step_bytes / MIB:.0f} MiB a second (std. deviation)")
    print(f"  batches that did not fit: {overruns}, within {late_s} of {hours * HOUR_S} seconds")
    close_text = f"{close} of {changes} less than a minute after the one before"
    print(f"  changes: {changes / hours:.1f} an hour; {close_text}")
    for name, ratios in (
        ("the best fixed size in the same headroom (beside the reserve)", fair),
        ("the best fixed size that always fitted, the reserve used up", safe),
        ("the best fixed size, its failed batches lost", best),
        ("one that knows what is free", known),
    ):
        print(f"  against {name}: median {statistics.median(ratios):.0%}, least {min(ratios):.0%}")


def main() -> None:
    """Both parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=5, help="of part 1; 0 leaves it out")
    parser.add_argument("--hours", type=int, default=10, help="of part 2; 0 leaves it out")
    options = parser.parse_args()
    began_s = time.perf_counter()
    if options.rounds:
        for name, model in real_models():
            sweep(name, model, options.rounds)
    for step_bytes in (20 * MIB, 60 * MIB, 120 * MIB) if options.hours else ():
        compare(card_curve(), range(1, 1 + options.hours), step_bytes)
    print(f"took {time.perf_counter() - began_s:.0f} s")


if __name__ == "__main__":
    main()
