"""Batches of loaded models are booked: nothing grows unbooked, and a lease shrinks last."""

import pytest

from danzar.broker.model_view import model_views
from danzar.core.batch_curve import BatchPoint
from danzar.core.batch_tuning import batch_views
from danzar.core.batching import BatchRules
from danzar.core.book import Margins
from danzar.core.device import DeviceKind, DeviceSnapshot
from danzar.core.events import (
    BatchChanged,
    BatchesMeasured,
    BatchFixed,
    BatchResized,
    JobEnded,
    JobSubmitted,
    LoadFinished,
    ResizeBatch,
    SnapshotsTaken,
    StartJob,
    StartLoad,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
)
from danzar.core.ledger import Ledger
from danzar.core.model import Job, ModelFacts
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.variant import Rung, Variant
from danzar.units import GIB, MIB

CARD = "GPU-1"
PX = 640 * 640
WEIGHTS = 200 * MIB
EACH = 100 * MIB


class Rig:
    """The production scheduler with one card and one detector; its worker does as it is asked."""

    def __init__(self, total=12 * GIB, batch=8, measured=lambda batch: 0.5 + 0.01 * batch, **rules):
        self.total, self.foreign, self.now_s = total, 2 * GIB, 1000.0
        facts = ModelFacts(
            "yolo",
            "torch",
            "vision",
            (Variant(Rung.FULL, WEIGHTS + batch * EACH, GIB),),
            batch=batch,
        )
        self.batch_rules = BatchRules(latency_s=60.0, **rules)
        self.scheduler = Scheduler(
            [facts],
            Ledger(margins=Margins(256 * MIB, GIB)),
            SchedulerRules(batch=self.batch_rules),
        )
        self.held = 0
        self.tell(SnapshotsTaken(self.snapshots()))
        effects = self.tell(JobSubmitted(Job(1, "yolo", self.now_s)))
        load = next(e for e in effects if isinstance(e, StartLoad))
        self.held = load.placed.size_bytes
        self.load_id = load.load_id
        took = ((CARD, self.held),)
        self.started = self.tell(LoadFinished("yolo", load.load_id, took, self.snapshots(), 1.0))
        points = tuple(BatchPoint(b, PX, b * EACH, measured(b)) for b in (1, 2, 4, 8, 16))
        self.tell(BatchesMeasured("yolo", points))

    def snapshots(self):
        used = min(self.total, self.held + self.foreign)
        return (
            DeviceSnapshot(
                CARD,
                0,
                "card",
                DeviceKind.CUDA,
                self.total,
                self.total - used,
                used,
                None,
                None,
                None,
                (),
                False,
                self.now_s,
            ),
        )

    def tell(self, event):
        return self.scheduler.handle(event, self.now_s)

    def wait(self, seconds):
        """Time passes with a reading each second; what was asked for, without its chores."""
        effects = []
        for _ in range(seconds):
            self.now_s += 1
            effects += self.tell(SnapshotsTaken(self.snapshots())) + self.tell(Tick())
        return [e for e in effects if isinstance(e, ResizeBatch | BatchChanged)]

    def done(self, effect, *, freed=None, failed=None):
        if failed is None:
            self.held += effect.more_bytes if freed is None else -freed
        return self.tell(
            BatchResized(
                effect.model,
                effect.load_id,
                effect.before,
                effect.size,
                effect.reason,
                self.snapshots(),
                freed,
                failed,
            )
        )

    @property
    def booked(self):
        return sum(lease.size_bytes for lease in self.scheduler.ledger.leases())

    @property
    def size(self):
        return self.scheduler.instances["yolo"].batch.state.size

    def end_job(self, job_id=1, **how):
        return self.tell(JobEnded(job_id, "yolo", succeeded=not how, **how))


def resize_in(effects):
    return next(e for e in effects if isinstance(e, ResizeBatch))


def test_a_job_is_told_how_many_pictures_may_be_computed_at_once():
    rig = Rig()
    (start,) = [e for e in rig.started if isinstance(e, StartJob)]
    assert start.batch == 8


def test_a_larger_batch_is_booked_before_it_is_taken_and_holds_once_it_was():
    rig = Rig()
    rig.end_job()
    before = rig.booked
    grow = resize_in(rig.wait(121))
    assert (grow.before, grow.size) == (8, 16)
    assert rig.booked == before + 8 * EACH, "booked, while the old size still holds"
    assert rig.size == 8
    (changed,) = rig.done(grow)
    assert isinstance(changed, BatchChanged)
    assert rig.size == 16
    assert rig.booked == rig.held
    assert len(rig.scheduler.instances["yolo"].lease_ids) == 1


def test_a_larger_batch_that_the_worker_could_not_take_leaves_the_book_as_it_was():
    rig = Rig()
    rig.end_job()
    before = rig.booked
    grow = resize_in(rig.wait(121))
    rig.done(grow, failed="the card was full")
    assert (rig.size, rig.booked) == (8, before)
    assert not rig.wait(500), "not tried again for ten minutes"


def test_a_model_that_gains_nothing_by_batches_leaves_the_size_it_was_loaded_with_within_seconds():
    rig = Rig(measured=lambda batch: 0.1 * batch)
    rig.end_job()
    shrink = resize_in(rig.wait(15))
    assert (shrink.before, shrink.size) == (8, 1)


def test_a_smaller_batch_holds_at_once_and_its_lease_shrinks_by_what_came_back():
    rig = Rig()
    rig.end_job()
    before = rig.booked
    rig.foreign = rig.total - rig.held - 100 * MIB
    effects = rig.wait(1)
    shrink = resize_in(effects)
    assert rig.size == 1, "the card was nearly full"
    assert rig.booked == before
    rig.done(shrink, freed=300 * MIB)
    assert rig.booked == before - 300 * MIB, "no more than the driver shows"


def test_memory_of_a_running_request_is_given_back_when_it_has_ended():
    rig = Rig()
    rig.foreign = rig.total - rig.held - 100 * MIB
    effects = rig.wait(1)
    assert [type(e) for e in effects] == [BatchChanged]
    assert not [e for e in rig.wait(3) if isinstance(e, ResizeBatch)]
    shrink = resize_in(rig.end_job())
    assert (shrink.before, shrink.size) == (8, 1)
    assert shrink.more_bytes == -7 * EACH


def test_a_request_that_ran_out_of_memory_halves_the_batch_and_keeps_the_model():
    rig = Rig()
    effects = rig.end_job(out_of_memory=True)
    assert not [e for e in effects if isinstance(e, StartUnload)]
    assert rig.size == 4
    assert resize_in(effects).size == 4


def test_a_batch_of_one_that_runs_out_is_loaded_again_smaller():
    rig = Rig(batch=1)
    assert [e for e in rig.end_job(out_of_memory=True) if isinstance(e, StartUnload)]


def test_a_model_that_leaves_while_its_batch_grows_leaves_no_lease_behind():
    rig = Rig()
    rig.end_job()
    grow = resize_in(rig.wait(121))
    (unload,) = [e for e in rig.tell(UnloadRequested("yolo")) if isinstance(e, StartUnload)]
    rig.done(grow)
    rig.held = 0
    rig.tell(UnloadFinished("yolo", unload.load_id, rig.snapshots()))
    assert rig.booked == 0


def test_what_is_lost_of_a_model_whose_batch_grew_is_quarantined_once():
    rig = Rig()
    rig.end_job()
    resize_in(rig.wait(121))
    (unload,) = [e for e in rig.tell(UnloadRequested("yolo")) if isinstance(e, StartUnload)]
    lost = ((CARD, 300 * MIB),)
    rig.tell(UnloadFinished("yolo", unload.load_id, rig.snapshots(), lost))
    assert rig.booked == 300 * MIB


def test_while_a_batch_grows_people_see_the_model_and_a_plan_counts_all_of_it():
    rig = Rig()
    rig.end_job()
    before = rig.booked
    resize_in(rig.wait(121))
    (view,) = model_views(rig.scheduler.state, rig.now_s)
    assert [share.leased_bytes for share in view.shares] == [before]
    inputs = rig.scheduler.state.plan_without(rig.scheduler.instances["yolo"], rig.now_s)
    (card,) = inputs.devices
    assert card.free_bytes == rig.snapshots()[0].free_bytes + before
    assert inputs.book.leases == ()


def test_a_budget_bounds_the_batch():
    rig = Rig()
    rig.end_job()
    rig.scheduler.ledger.set_rules({"vision": rig.booked + 350 * MIB}, Margins(0, 0), ())
    assert resize_in(rig.wait(121)).size == 11


def test_a_person_sets_the_size_and_lets_it_go():
    rig = Rig()
    rig.end_job()
    shrink = resize_in(rig.tell(BatchFixed(3)))
    rig.done(shrink)
    assert rig.size == 3
    assert not rig.wait(300)
    rig.tell(BatchFixed(None))
    assert resize_in(rig.wait(121)).size == 16


def test_switched_off_nothing_changes():
    rig = Rig()
    rig.end_job()
    rig.scheduler.set_rules(SchedulerRules(batch=None))
    assert not rig.wait(300)


def test_people_see_the_size_the_optimum_and_why():
    rig = Rig()
    rig.end_job()
    (view,) = batch_views(rig.scheduler.state)
    assert (view.size, view.optimal, view.limit) == (8, 16, 16)
    assert view.activation_bytes == 8 * EACH
    assert "pictures/s" in view.reason


@pytest.mark.parametrize("reserve", [0, 1 * GIB])
def test_the_reserve_stays_free(reserve):
    rig = Rig(reserve_bytes=reserve, total=6 * GIB, warning_share=1.0)
    rig.end_job()
    rig.foreign = rig.total - rig.held - 1600 * MIB
    grown = [e for e in rig.wait(121) if isinstance(e, ResizeBatch)]
    if reserve:
        assert grown[0].size == 13
    else:
        assert grown[0].size == 16
