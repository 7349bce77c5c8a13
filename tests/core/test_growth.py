"""Who grew on a card, by how much, and what is said where the driver does not tell."""

import pytest

from danzar.core.book import LeaseState
from danzar.core.device import ProcessUse
from danzar.core.growth import KEEP_S, GrowthLog, describe_growth
from danzar.core.ledger import Ledger
from tests.gpu_memory.cards import gib, gpu, memories


def device(free_gib, *processes, ledger=None, own=()):
    (found,) = memories(
        gpu(1, free_gib, processes=processes), ledger=ledger or Ledger(), own_pids=own
    )
    return found


def process(pid, name, size_gib):
    return ProcessUse(pid, name, None if size_gib is None else gib(size_gib))


def told(*devices, step_s=30.0):
    """What is said after the cards stood so, one step after the other."""
    log = GrowthLog()
    for number, found in enumerate(devices):
        log.note(found, step_s * number)
    growth = log.growth(devices[-1], step_s * (len(devices) - 1), -KEEP_S)
    return None if growth is None else describe_growth(growth)


def test_of_several_the_one_that_grew_most_is_named():
    browser, game = process(7, "browser", 3.0), process(9, "game.exe", 1.0)
    before = device(8.0, browser, game)
    after = device(2.6, process(7, "browser", 3.4), process(9, "game.exe", 6.0))
    assert told(before, after) == "game.exe (pid 9) grew by 5.0GB in 30 s, to 6.0GB"


def test_one_that_was_not_there_before_grew_by_all_that_it_holds():
    browser = process(7, "browser", 6.0)
    after = device(0.5, browser, process(9, "game.exe", 5.0))
    assert told(device(6.0, browser), after) == "game.exe (pid 9) grew by 5.0GB in 30 s, to 5.0GB"


def test_it_began_to_grow_where_it_last_held_least():
    sizes = (1.0, 4.0, 1.0, 1.0, 3.0)
    steps = [device(9.0 - s, process(9, "game.exe", s)) for s in sizes]
    assert told(*steps) == "game.exe (pid 9) grew by 2.0GB in 30 s, to 3.0GB"


def test_danzars_own_memory_is_told_by_model():
    ledger = Ledger()
    before = device(10.0, ledger=ledger)
    lease = ledger.claim("qwen_7b", "chat", "GPU-1", gib(5.0))
    assert "claimed" in str(LeaseState.CLAIMED)
    ledger.commit(lease.lease_id, None)
    after = device(5.0, process(77, "python", 5.0), ledger=ledger, own=(77,))
    assert told(before, after) == "Danzar's qwen_7b grew by 5.0GB in 30 s, to 5.0GB"


def test_where_the_driver_does_not_say_who_holds_what_the_new_ones_and_the_sum_are_told():
    old = process(7, "browser", None)
    after = device(2.0, old, process(9, "game.exe", None))
    assert told(device(9.0, old), after) == (
        "game.exe (pid 9) began; the driver does not say what it holds; "
        "other programs together grew by 7.0GB"
    )


def test_where_nobody_is_new_either_only_the_sum_is_told():
    old = process(7, "browser", None)
    assert told(device(9.0, old), device(2.0, old)) == (
        "Other programs grew by 7.0GB in 30 s; the driver does not say which"
    )


def test_nothing_is_said_where_nothing_grew_or_nothing_was_known_before():
    still = device(2.0, process(9, "game.exe", 9.0))
    assert told(still, still) is None
    assert GrowthLog().growth(still, 0.0, -KEEP_S) is None


@pytest.mark.parametrize(
    "name", ["@everyone", "<@&12>", "**bold**", "`code`", "[a](http://b.c)", "a\nb\x00", "x" * 999]
)
def test_a_name_means_nothing_in_a_message(name):
    after = device(2.0, process(9, name, 9.0))
    text = told(device(11.0), after)
    assert not set("@<>*`[]|~\n\x00") & set(text)
    assert "://" not in text
    assert len(text) < 120


def test_the_history_is_bounded():
    log = GrowthLog()
    still = device(2.0, process(9, "game.exe", 9.0))
    for second in range(10_000):
        log.note(still, float(second))
    assert len(log._samples) <= 181
