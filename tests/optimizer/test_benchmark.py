"""A benchmark measures what it says, and leaves everything as it was."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from danzar.config.models import ModelsConfig
from danzar.config.optimizer import MemoryConfig
from danzar.config.settings import Config
from danzar.core.asker import Asker, RequestClass
from danzar.errors import BadInput, OutOfMemory
from danzar.inference import Outcome, Placed
from danzar.optimizer.bench_result import BenchResult
from danzar.optimizer.benchmark import Bench
from danzar.optimizer.wishes import Progress
from danzar.workers.contract import Detect, DetectedBatch
from tests.optimizer.rig import Rig, make_rig, view

MODELS = {
    "use": {"chat": None, "detect": "yolo", "rank": None, "read": None, "media": "med"},
    "models": {
        "yolo": {"backend": "yolo", "role": "detect", "path": "y.pt"},
        "med": {"backend": "media", "role": "media"},
    },
}
CONFIG = Config(root=Path("/nowhere"), models=ModelsConfig.model_validate(MODELS))
SMALL = MemoryConfig(max_batch_size=4)


@dataclass
class Detector:
    """Answers every request, or runs out above a size."""

    rig: Rig
    most: int = 99
    asked: list[int] = field(default_factory=list)
    askers: set[RequestClass] = field(default_factory=set)

    async def call(self, model, request, *, asker: Asker) -> Outcome:
        placed = Placed(model, "cuda:1", simulated=True, batch=self.rig.models.views[0].size)
        made = request(placed)
        assert isinstance(made, Detect)
        self.askers.add(asker.kind)
        self.asked.append(len(made.pictures))
        assert made.at_once == placed.batch
        if len(made.pictures) > self.most:
            raise OutOfMemory(f"{len(made.pictures)} pictures are too many")
        await asyncio.sleep(0)
        self.rig.now_s += 0.05
        return Outcome(DetectedBatch(((),) * len(made.pictures)), placed, 0.001, 0.0)


def make_bench(
    config: MemoryConfig = SMALL, most: int = 99, limit: int = 16
) -> tuple[Bench, Rig, Detector, list[str]]:
    rig, notes = make_rig(config), []
    rig.models.views = [view(2, limit=limit)]

    def obey(size: int | None) -> None:
        rig.models.fixed.append(size)
        if size is not None:
            rig.models.views = [view(min(size, limit), limit=limit)]

    async def note(who: str, action: str, detail: str) -> None:
        notes.append(f"{who} {action} {detail}")

    rig.models.fix_batch = obey
    detector = Detector(rig, most)
    bench = Bench(detector, rig.models, rig.optimizer, CONFIG, note, now_s=lambda: rig.now_s)
    return bench, rig, detector, notes


async def run(bench: Bench, steps: list[Progress] | None = None) -> BenchResult:
    async def tell(step: Progress) -> None:
        if steps is not None:
            steps.append(step)

    return await bench.run(1.0, tell, who="ann")


async def test_every_size_is_asked_with_that_many_pictures_in_the_background() -> None:
    bench, rig, detector, notes = make_bench()

    result = await run(bench)

    assert [row.batch for row in result.rows] == [1, 2, 4]
    assert set(detector.asked) == {1, 2, 4}
    assert detector.askers == {RequestClass.JOB}
    assert all(row.pictures_per_s and row.p50_s and not row.skipped for row in result.rows)
    assert [size for size in rig.models.fixed if size] == [1, 2, 4, 4, 2, 1, 2]
    assert rig.models.fixed[-1] is None
    assert result.choices[0].chosen == 2
    assert notes[0].startswith("ann benchmark 1 s; yolo: chosen 2")


async def test_a_size_set_by_hand_is_set_again_afterwards() -> None:
    bench, rig, _, _ = make_bench()
    rig.optimizer.set_batch_size(3)

    await run(bench)

    assert rig.models.fixed[-1] == 3


async def test_what_memory_has_no_room_for_is_skipped_with_the_reason() -> None:
    bench, _, detector, _ = make_bench(limit=2)

    result = await run(bench)

    assert result.rows[-1].skipped == "memory has room for 2 at once (2.0 GiB have room)"
    assert 4 not in detector.asked


async def test_a_size_that_runs_out_is_told_and_the_rest_goes_on() -> None:
    bench, _, _, _ = make_bench(most=2)

    result = await run(bench)

    assert [row.skipped for row in result.rows] == [None, None, "4 pictures are too many"]


async def test_progress_only_ever_rises() -> None:
    steps: list[Progress] = []
    bench, _, _, _ = make_bench()

    await run(bench, steps)

    shares = [step.done for step in steps]
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] < 1


async def test_who_has_gone_ends_it_and_everything_is_as_it_was() -> None:
    bench, rig, detector, notes = make_bench()

    async def gone(_: Progress) -> None:
        if len(detector.asked) > 3:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await bench.run(3600.0, gone, who="ann")

    assert rig.models.fixed[-1] is None
    assert 4 not in detector.asked
    assert notes == []


async def test_one_at_a_time() -> None:
    bench, _, _, _ = make_bench()
    first = asyncio.create_task(run(bench))
    await asyncio.sleep(0)

    with pytest.raises(BadInput, match="is running already"):
        await run(bench)
    await first


@pytest.mark.parametrize("duration_s", [0.0, -1.0, 3601.0, float("nan")])
async def test_out_of_range_it_is_refused(duration_s: float) -> None:
    bench, rig, _, _ = make_bench()

    with pytest.raises(BadInput, match="allowed: 1 to 3600"):
        await bench.run(duration_s, lambda _: asyncio.sleep(0), who="ann")

    assert rig.models.fixed == []


async def test_disabled_it_is_refused() -> None:
    bench, rig, _, _ = make_bench(MemoryConfig(enabled=False))

    with pytest.raises(BadInput, match="danzar optimizer enable"):
        await run(bench)

    assert rig.models.fixed == []
