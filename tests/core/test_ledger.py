from danzar.core.book import LeaseState, Limit, Margins
from danzar.core.ledger import Ledger
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, reserve


def test_headroom_is_what_the_driver_says_is_free():
    assert book().room(gpu(free_gib=5)).headroom_bytes("chat") == 5 * GIB


def test_unknown_free_memory_gives_no_headroom_figure():
    assert book().room(gpu(free_gib=None)).headroom_bytes("chat") is None


def test_another_purposes_reservation_is_kept_free():
    ledger = book(reserve("GPU-0", 8))
    assert ledger.room(gpu(free_gib=12)).headroom_bytes("vision") == 4 * GIB


def test_a_purpose_may_use_its_own_reservation():
    ledger = book(reserve("GPU-0", 8))
    assert ledger.room(gpu(free_gib=12)).headroom_bytes("chat") == 12 * GIB


def test_a_reservation_shrinks_by_what_its_purpose_holds():
    ledger = book(reserve("GPU-0", 8))
    lease = ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    ledger.commit(lease.lease_id, None)
    assert ledger.room(gpu(free_gib=7)).headroom_bytes("vision") == 4 * GIB


def test_a_load_in_flight_counts_although_the_driver_does_not_show_it_yet():
    ledger = book()
    ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    assert ledger.room(gpu(free_gib=12)).headroom_bytes("vision") == 7 * GIB


def test_a_budget_limits_a_purpose_on_each_gpu():
    ledger = book(vision_gib=2)
    lease = ledger.claim("yolo", "vision", "GPU-0", GIB)
    ledger.commit(lease.lease_id, None)
    assert ledger.room(gpu(0, free_gib=11)).headroom_bytes("vision") == GIB
    assert ledger.room(gpu(1, free_gib=12)).headroom_bytes("vision") == 2 * GIB


def test_a_budget_for_gpus_does_not_limit_host_ram():
    assert book(vision_gib=2).room(host(free_gib=16)).headroom_bytes("vision") == 16 * GIB


def test_the_margin_of_each_kind_of_device_is_left_alone():
    ledger = Ledger(margins=Margins(cuda_bytes=GIB, host_bytes=2 * GIB))
    assert ledger.room(gpu(free_gib=12)).headroom_bytes("chat") == 11 * GIB
    assert ledger.room(host(free_gib=16)).headroom_bytes("chat") == 14 * GIB


def test_a_committed_lease_has_its_measured_size():
    ledger = book()
    lease = ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    resident = ledger.commit(lease.lease_id, 6 * GIB)
    assert (resident.size_bytes, resident.state) == (6 * GIB, LeaseState.RESIDENT)


def test_evicting_a_model_inside_its_own_reservation_gains_others_nothing():
    ledger = book(reserve("GPU-0", 8))
    lease = ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    ledger.commit(lease.lease_id, None)
    room = ledger.room(gpu(free_gib=7))
    gone = {lease.lease_id}
    assert room.headroom_bytes("vision", gone) == room.headroom_bytes("vision")
    assert room.headroom_bytes("chat", gone) == 12 * GIB


def test_of_several_leases_the_reservation_grows_back_once():
    ledger = book(reserve("GPU-0", 8))
    gone = {ledger.claim(f"m{i}", "chat", "GPU-0", 5 * GIB).lease_id for i in range(2)}
    for lease_id in gone:
        ledger.commit(lease_id, None)
    assert ledger.room(gpu(free_gib=2)).headroom_bytes("vision", gone) == 4 * GIB


def test_a_limit_holds_for_all_purposes_of_a_device_together():
    ledger = Ledger(limits=[Limit("GPU-0", 6 * GIB)])
    ledger.claim("chat", "chat", "GPU-0", 4 * GIB)
    assert ledger.room(gpu(0, 12)).headroom_bytes("vision") == 2 * GIB
    assert ledger.room(gpu(1, 12)).headroom_bytes("vision") == 12 * GIB


def test_quarantined_bytes_are_not_counted_twice():
    ledger = book()
    lease = ledger.claim("a", "chat", "GPU-0", 5 * GIB)
    ledger.commit(lease.lease_id, None)
    lost = ledger.quarantine(lease.lease_id, 3 * GIB)
    assert (lost.state, lost.size_bytes) == (LeaseState.QUARANTINED, 3 * GIB)
    assert ledger.room(gpu(free_gib=9)).headroom_bytes("chat") == 9 * GIB


def test_foreign_use_is_what_neither_leases_nor_own_processes_explain():
    ledger = book()
    ledger.claim("a", "chat", "GPU-0", 5 * GIB)
    assert ledger.room(gpu(free_gib=4)).foreign_bytes() == 3 * GIB
    assert ledger.room(gpu(free_gib=12)).foreign_bytes() == 0
    assert ledger.room(gpu(free_gib=None)).foreign_bytes() is None
