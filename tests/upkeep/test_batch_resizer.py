"""On a real card, a batch grows only into what the driver shows free, and a lease loses no more
than the driver shows as given back."""

import asyncio
from dataclasses import dataclass, field, replace

from danzar.broker.batch_resizer import BatchResizer
from danzar.core.device import DeviceKind, DeviceSnapshot, ProcessUse
from danzar.core.events import ResizeBatch
from danzar.errors import OutOfMemory
from danzar.units import GIB, MIB
from danzar.workers.contract import BatchWork, MeasuredBatch
from danzar.workers.outcomes import Finished

PID = 77
CARD = DeviceSnapshot(
    uuid="GPU-1",
    index=0,
    name="NVIDIA L4",
    kind=DeviceKind.CUDA,
    total_bytes=12 * GIB,
    free_bytes=4 * GIB,
    used_bytes=8 * GIB,
    utilisation_pct=None,
    temperature_c=None,
    power_w=None,
    processes=(ProcessUse(PID, "danzar", 2 * GIB),),
    simulated=False,
    sampled_at_s=0.0,
)


@dataclass
class Reading:
    snapshots: tuple[DeviceSnapshot, ...]
    error: str | None = None


@dataclass
class Rig:
    """A worker on a card, as the driver shows it; ``after`` is what it shows from a trim on."""

    card: DeviceSnapshot = CARD
    after: DeviceSnapshot = CARD
    fails: Exception | None = None
    pid: int = PID
    posted: list = field(default_factory=list)
    resized: list = field(default_factory=list)
    asked: list = field(default_factory=list)
    measured: list = field(default_factory=list)

    @property
    def reading(self):
        return Reading((self.card,))

    async def refresh(self):
        return self.reading

    def process(self, model):
        return self

    def resize(self, *what):
        self.resized.append(what)

    async def trim(self):
        self.card = self.after

    async def run(self, model, request):
        self.asked.append(request.batch)
        if self.fails:
            raise self.fails
        yield Finished(MeasuredBatch(BatchWork(request.batch, 100, 0.1, 5)), 0.1)

    def ends(self, before, size, more):
        resizer = BatchResizer(
            self, self, self.posted.append, lambda model, work: self.measured.append(work)
        )
        effect = ResizeBatch("yolo", 1, before, size, more, "a test")
        asyncio.run(resizer.resize(effect, self.card))
        (event,) = self.posted
        return event


def test_a_larger_batch_is_computed_once_so_that_its_memory_is_taken_and_measured():
    rig = Rig()
    event = rig.ends(8, 16, GIB)
    assert event.failed is None
    assert rig.asked == [16]
    assert rig.resized == [("yolo", "GPU-1", GIB)]
    assert [work.batch for work in rig.measured] == [16]


def test_what_the_driver_does_not_show_free_is_not_touched():
    rig = Rig(card=replace(CARD, free_bytes=500 * MIB))
    event = rig.ends(8, 16, GIB)
    assert "500.0 MiB" in event.failed
    assert (rig.asked, rig.resized) == ([], [])


def test_running_out_while_growing_is_told_and_nothing_is_booked():
    rig = Rig(fails=OutOfMemory("the card is full"))
    assert rig.ends(8, 16, GIB).failed == "the card is full"
    assert rig.resized == []


def test_a_smaller_batch_gives_back_what_the_driver_shows_and_no_more():
    half = replace(CARD, processes=(ProcessUse(PID, "danzar", 2 * GIB - 300 * MIB),))
    rig = Rig(after=half)
    event = rig.ends(16, 8, -GIB)
    assert event.freed_bytes == 300 * MIB
    assert rig.resized == [("yolo", "GPU-1", -300 * MIB)]


def test_where_the_driver_does_not_tell_processes_apart_the_plan_is_believed():
    rig = Rig(card=replace(CARD, processes=()))
    assert rig.ends(16, 8, -GIB).freed_bytes is None
