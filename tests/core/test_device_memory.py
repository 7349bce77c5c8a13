from danzar.core.device import ProcessUse
from danzar.core.device_text import device_title, process_title, short_name
from tests.gpu_memory.cards import cpu, gib, gpu, memories, seed_ledger


def test_the_seeds_figures_add_up():
    processes = (ProcessUse(10, "worker", gib(6.0)), ProcessUse(1, "game.exe", gib(0.2)))
    (device,) = memories(
        gpu(0, 4.9, processes=processes), ledger=seed_ledger(chat_gib=6.0), own_pids=(10,)
    )
    assert device.allocated_bytes == gib(6.0) + gib(0.2)
    assert device.reserved_bytes == gib(12) - gib(4.9)
    assert round(device.reserved_pct, 1) == 59.2
    assert device.own_bytes == gib(6.0)
    # The driver's own 0.9 GiB is not Danzar's.
    assert device.foreign_bytes == gib(12) - gib(4.9) - gib(6.0)


def test_a_process_of_unknown_size_makes_all_of_reserved_count_as_allocated():
    (device,) = memories(gpu(0, 4.0, processes=(ProcessUse(1, "game.exe", None),)))
    assert device.allocated_bytes == gib(8)


def test_without_a_list_of_processes_leases_say_what_is_danzars():
    (device,) = memories(gpu(0, 4.0), ledger=seed_ledger(chat_gib=7.0))
    assert device.own_bytes == gib(7)
    assert device.foreign_bytes == gib(1)
    assert device.allocated_bytes == gib(8)


def test_leases_count_where_danzars_own_processes_are_not_listed():
    game = (ProcessUse(1, "game.exe", gib(1)),)
    (device,) = memories(gpu(0, 3.0, processes=game), ledger=seed_ledger(chat_gib=7.0))
    assert device.allocated_bytes == gib(8)
    assert device.reserved_bytes == gib(9)


def test_a_claim_is_not_yet_in_use():
    ledger = seed_ledger()
    ledger.claim("chat", "chat", "GPU-0", gib(6))
    (device,) = memories(gpu(0, 11.0), ledger=ledger)
    assert device.own_bytes == 0
    assert device.foreign_bytes == gib(1)


def test_unknown_stays_unknown():
    (device,) = memories(gpu(0, None))
    assert device.free_bytes is None
    assert device.reserved_bytes is None
    assert device.allocated_bytes is None
    assert device.reserved_pct is None
    assert device.foreign_bytes is None


def test_foreign_processes_come_largest_first_and_unknown_last():
    processes = (
        ProcessUse(1, "a", None),
        ProcessUse(2, "b", gib(1)),
        ProcessUse(3, "c", gib(2)),
        ProcessUse(4, "ours", gib(9)),
    )
    (device,) = memories(gpu(0, 0.0, processes=processes), own_pids=(4,))
    assert [p.pid for p in device.foreign] == [3, 2, 1]
    assert [p.pid for p in device.own] == [4]


def test_names_are_short_and_titles_are_the_seeds():
    assert short_name("NVIDIA GeForce RTX 4070 SUPER") == "RTX 4070 SUPER"
    assert short_name("NVIDIA A100-SXM4-80GB") == "A100-SXM4-80GB"
    assert short_name("NVIDIA") == "NVIDIA"
    assert device_title(gpu(1, 1.0)) == "Device 1 (RTX 4070 SUPER)"
    assert device_title(cpu()) == "CPU"


def test_a_programs_name_can_neither_ping_nor_format():
    title = process_title(ProcessUse(7, "@everyone **`x`**\n<@1>" + "y" * 100, 1))
    assert title.startswith("(at)everyone '''x''''(at)1'")
    assert "\n" not in title
    assert len(title) < 60
    assert process_title(ProcessUse(7, None, 1)) == "pid 7"
