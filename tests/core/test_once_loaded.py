"""Asked while everything on the card is still being loaded: that is waited for, not refused."""

import pytest

from danzar.core.ledger import Ledger
from danzar.core.plan import Impossible, WaitForIdle
from danzar.units import GIB
from tests.core.test_placement import demand, plan, resident_on
from tests.core.worlds import book, gpu


def loading(ledger: Ledger, name: str, gib: float) -> None:
    ledger.claim(name, "vision", "GPU-0", round(gib * GIB))


@pytest.mark.parametrize("taken_gib", [0.0, 3.0, 6.0])
def test_a_load_under_way_is_waited_for_however_much_it_has_taken(taken_gib):
    ledger = book()
    loading(ledger, "big", 6)
    card = gpu(0, free_gib=8 - taken_gib, total_gib=8)
    found = plan(demand(7, allow_cpu=False, order=("GPU-0",)), (card,), ledger)
    assert isinstance(found, WaitForIdle)
    assert found.models == ("big",)


def test_what_no_leaving_model_could_make_room_for_is_refused_at_once():
    ledger = book()
    loading(ledger, "big", 2)
    resident_on(ledger, "GPU-0", 4, "stays")
    card = gpu(0, free_gib=2, total_gib=8)
    found = plan(demand(5, allow_cpu=False, order=("GPU-0",)), (card,), ledger)
    assert isinstance(found, Impossible)
