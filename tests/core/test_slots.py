"""How many requests run at once follows what was really loaded."""

import pytest

from danzar.core.events import (
    JobSubmitted,
    LoadFinished,
    SnapshotsTaken,
    StartJob,
    StartLoad,
)
from danzar.core.model import Job
from danzar.core.variant import Rung, Variant
from danzar.units import GIB
from tests.core.worlds import gpu, host, make_scheduler, model

FULL = Variant(Rung.FULL, 6 * GIB, 6 * GIB)
FEWER = Variant(Rung.SLOTS, 3 * GIB, 3 * GIB, (("slots", 2),))


@pytest.mark.parametrize(("free_gib", "expected"), [(10.0, 4), (4.0, 2)])
def test_requests_run_at_once_as_the_placement_has_slots(free_gib, expected):
    devices = (gpu(0, free_gib), host())
    scheduler = make_scheduler(model(slots=4, variants=(FULL, FEWER)))
    scheduler.handle(SnapshotsTaken(devices), 0)
    effects = [e for n in range(1, 7) for e in scheduler.handle(JobSubmitted(Job(n, "chat", 0)), 0)]
    load = next(e for e in effects if isinstance(e, StartLoad))
    effects = scheduler.handle(LoadFinished("chat", load.load_id, (), devices), 1)
    assert sum(isinstance(e, StartJob) for e in effects) == expected
