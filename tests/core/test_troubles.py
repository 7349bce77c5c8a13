from dataclasses import replace

import pytest

from danzar.core.device_memory import describe_memory
from danzar.core.pressure import Level
from danzar.core.troubles import observe_troubles
from danzar.units import GIB
from tests.core.worlds import book, gpu, reserve


def troubles(snapshot, ledger=None, open_keys=frozenset()):
    device = describe_memory(snapshot, ledger or book(), frozenset())
    seen = observe_troubles(device, open_keys, hot_c=80.0)
    return {x.key.split(":")[0]: x for x in seen}


@pytest.mark.parametrize(
    ("measured_c", "was_hot", "level"),
    [
        pytest.param(79.0, False, Level.NORMAL, id="cool"),
        pytest.param(80.0, False, Level.WARNING, id="hot"),
        pytest.param(77.0, True, Level.WARNING, id="was hot and has hardly cooled down"),
        pytest.param(74.0, True, Level.NORMAL, id="has cooled down"),
        pytest.param(None, True, None, id="unknown leaves it as it was"),
    ],
)
def test_heat(measured_c, was_hot, level):
    open_keys = frozenset({"heat:GPU-0"} if was_hot else ())
    seen = troubles(replace(gpu(), temperature_c=measured_c), open_keys=open_keys)
    assert seen["heat"].level is level


def test_bytes_that_did_not_come_back_are_critical_and_name_the_model():
    ledger = book()
    lease = ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    ledger.quarantine(lease.lease_id, 3 * GIB)
    lost = troubles(gpu(free_gib=9), ledger)["lost"]
    assert lost.level is Level.CRITICAL
    assert "3.0GB of chat did not come back" in lost.text


def test_a_reservation_that_a_game_has_taken_is_told_with_the_number():
    kept = troubles(gpu(free_gib=3), book(reserve("GPU-0", 8)))["kept"]
    assert kept.level is Level.WARNING
    assert "took 5.0GB of the 8.0GB kept for chat" in kept.text


def test_a_reservation_that_its_own_model_fills_is_no_trouble():
    ledger = book(reserve("GPU-0", 8))
    ledger.commit(ledger.claim("chat", "chat", "GPU-0", 8 * GIB).lease_id, None)
    assert troubles(gpu(free_gib=1), ledger)["kept"].level is Level.NORMAL
