"""What a load is expected to take: by the way it goes, measured where it was, else estimated."""

import pytest

from danzar.core.reload import (
    COPY_BYTES_PER_S,
    LOAD_BYTES_PER_S,
    PROCESS_S,
    Loads,
    LoadWay,
    ProcessFrom,
)
from danzar.units import MIB

COLD = LoadWay()
WARM = LoadWay(warm=True)
RUNNING = LoadWay(process=ProcessFrom.RUNNING)
STANDBY = LoadWay(warm=True, process=ProcessFrom.STANDBY)
SIZE = 1000 * MIB


def test_without_a_measurement_the_size_decides_and_it_is_marked_as_an_estimate():
    expected = Loads().expect(SIZE, COLD)

    assert expected.seconds == SIZE / LOAD_BYTES_PER_S
    assert not expected.measured


def test_each_way_is_measured_for_itself():
    loads = Loads()
    loads.note(20.0, COLD)
    loads.note(0.5, STANDBY)

    assert (loads.expect(SIZE, COLD).seconds, loads.expect(SIZE, COLD).measured) == (20.0, True)
    assert (loads.expect(SIZE, STANDBY).seconds, loads.expect(SIZE, STANDBY).measured) == (
        0.5,
        True,
    )


def test_a_new_measurement_counts_for_a_part():
    loads = Loads()
    loads.note(10.0, COLD)
    loads.note(20.0, COLD)

    assert 10.0 < loads.expect(SIZE, COLD).seconds < 20.0


def test_warm_is_estimated_from_cold_less_the_reading():
    loads = Loads()
    loads.note(10.0, COLD)
    expected = loads.expect(SIZE, WARM)

    assert expected.seconds == pytest.approx(
        10.0 - SIZE / LOAD_BYTES_PER_S + SIZE / COPY_BYTES_PER_S
    )
    assert not expected.measured


def test_a_running_process_saves_the_start_of_one():
    loads = Loads()
    loads.note(20.0, COLD)

    assert loads.expect(SIZE, RUNNING).seconds == pytest.approx(20.0 - PROCESS_S)


def test_an_estimate_is_never_less_than_the_copy_takes():
    loads = Loads()
    loads.note(1.0, COLD)

    assert loads.expect(SIZE, STANDBY).seconds == pytest.approx(SIZE / COPY_BYTES_PER_S)


def test_loads_of_which_nobody_said_how_they_went_count_for_every_way():
    loads = Loads()
    loads.note(7.0, None)

    for way in (COLD, WARM, RUNNING, STANDBY):
        assert loads.expect(SIZE, way).seconds == 7.0
