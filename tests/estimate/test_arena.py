from hypothesis import given
from hypothesis import strategies as st

from danzar.estimate.arena import Tape


def test_a_result_goes_back_after_its_last_reader():
    tape = Tape()
    first = tape.put(64)
    second = tape.put(64, first)
    tape.put(64, second)
    assert tape.peak_bytes() == 128


def test_a_kept_result_never_goes_back():
    tape = Tape()
    first = tape.keep(tape.put(64))
    second = tape.put(64, first)
    tape.put(64, second)
    assert tape.peak_bytes() == 192


def test_an_input_is_there_from_the_beginning():
    tape = Tape()
    early = tape.put(640)
    tape.put(64, early, tape.enter(320))
    assert tape.peak_bytes() == 640 + 320 + 64
    assert tape.inputs_bytes == 320


def test_an_operand_that_nothing_else_reads_is_overwritten():
    tape = Tape()
    tape.over(64, tape.put(64))
    assert tape.peak_bytes() == 64


def test_an_operand_with_another_reader_is_not_overwritten():
    tape = Tape()
    first = tape.put(64)
    tape.put(64, tape.over(64, first), first)
    assert tape.peak_bytes() == 192


def test_the_smallest_hole_that_fits_is_taken():
    tape = Tape()
    large, wall, small = tape.put(256), tape.put(32), tape.put(64)
    end = tape.put(32)
    tape.put(0, large, small)
    again = tape.put(64)
    tape.put(256, again, wall, end)
    assert tape.peak_bytes() == 256 + 32 + 64 + 32


def test_sizes_are_rounded_up_to_whole_lines():
    tape = Tape()
    tape.put(1)
    assert tape.peak_bytes() == 32


steps = st.lists(st.tuples(st.integers(0, 4096), st.booleans(), st.integers(0, 30)), max_size=30)


@given(steps)
def test_the_buffer_holds_what_is_alive_and_no_more_than_everything(operations):
    tape = Tape()
    for number, (size, over, back) in enumerate(operations):
        sources = (number - 1 - back,) if number - 1 - back >= 0 else ()
        (tape.over if over else tape.put)(size, *sources)
    aligned = [-(-size // 32) * 32 for size, _, _ in operations]
    assert max(aligned, default=0) <= tape.peak_bytes() <= sum(aligned)
