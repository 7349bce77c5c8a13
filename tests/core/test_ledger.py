from danzar.core.ledger import LeaseState, Ledger, Margins
from danzar.units import GIB
from tests.core.worlds import book, gpu, host, reserve


def test_headroom_is_what_the_driver_says_is_free():
    assert book().headroom_bytes(gpu(free_gib=5), "chat") == 5 * GIB


def test_unknown_free_memory_gives_no_headroom_figure():
    assert book().headroom_bytes(gpu(free_gib=None), "chat") is None


def test_another_purposes_reservation_is_kept_free():
    ledger = book(reserve("GPU-0", 8))
    assert ledger.headroom_bytes(gpu(free_gib=12), "vision") == 4 * GIB


def test_a_purpose_may_use_its_own_reservation():
    ledger = book(reserve("GPU-0", 8))
    assert ledger.headroom_bytes(gpu(free_gib=12), "chat") == 12 * GIB


def test_a_reservation_shrinks_by_what_its_purpose_holds():
    ledger = book(reserve("GPU-0", 8))
    lease = ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    ledger.commit(lease.lease_id, None)
    assert ledger.headroom_bytes(gpu(free_gib=7), "vision") == 4 * GIB


def test_a_load_in_flight_counts_although_the_driver_does_not_show_it_yet():
    ledger = book()
    ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    assert ledger.headroom_bytes(gpu(free_gib=12), "vision") == 7 * GIB


def test_a_budget_limits_a_purpose_on_each_gpu():
    ledger = book(vision_gib=2)
    lease = ledger.claim("yolo", "vision", "GPU-0", GIB)
    ledger.commit(lease.lease_id, None)
    assert ledger.headroom_bytes(gpu(0, free_gib=11), "vision") == GIB
    assert ledger.headroom_bytes(gpu(1, free_gib=12), "vision") == 2 * GIB


def test_a_budget_for_gpus_does_not_limit_host_ram():
    assert book(vision_gib=2).headroom_bytes(host(free_gib=16), "vision") == 16 * GIB


def test_the_margin_of_each_kind_of_device_is_left_alone():
    ledger = Ledger(margins=Margins(cuda_bytes=GIB, host_bytes=2 * GIB))
    assert ledger.headroom_bytes(gpu(free_gib=12), "chat") == 11 * GIB
    assert ledger.headroom_bytes(host(free_gib=16), "chat") == 14 * GIB


def test_a_committed_lease_has_its_measured_size():
    ledger = book()
    lease = ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    resident = ledger.commit(lease.lease_id, 6 * GIB)
    assert (resident.size_bytes, resident.state) == (6 * GIB, LeaseState.RESIDENT)


def test_evicting_a_model_inside_its_own_reservation_gains_others_nothing():
    ledger = book(reserve("GPU-0", 8))
    lease = ledger.claim("chat", "chat", "GPU-0", 5 * GIB)
    ledger.commit(lease.lease_id, None)
    assert ledger.gain_bytes("GPU-0", [lease.lease_id], "vision") == 0
    assert ledger.gain_bytes("GPU-0", [lease.lease_id], "chat") == 5 * GIB


def test_gain_of_several_leases_counts_the_reservation_once():
    ledger = book(reserve("GPU-0", 8))
    ids = [ledger.claim(f"m{i}", "chat", "GPU-0", 5 * GIB).lease_id for i in range(2)]
    assert ledger.gain_bytes("GPU-0", ids, "vision") == 2 * GIB
