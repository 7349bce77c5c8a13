from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from danzar.commands.logs import line_text, parse_since
from danzar.errors import BadInput
from danzar.logs.files import RotatedFile, file_path
from danzar.logs.line import LogLine
from danzar.logs.read import Filter, Follower, read_lines

ALL = Filter()


def line(number, **fields):
    at = datetime(2026, 1, 31, 18, 0, number, tzinfo=UTC).isoformat()
    return LogLine(
        **{"at": at, "level": "info", "logger": "danzar.a", "text": f"n{number}"} | fields
    )


def packed(*lines):
    return [msgspec.json.encode(each) + b"\n" for each in lines]


@pytest.fixture
def files(tmp_path):
    return RotatedFile(tmp_path, max_bytes=300, files=4)


def texts(lines):
    return [each.text for each in lines]


def test_lines_are_read_in_order_across_rotations(files):
    for number in range(9):
        files.write(packed(line(number)))
    assert file_path(files.folder, 1).exists()
    assert texts(read_lines(files.folder, ALL, 100)) == [f"n{n}" for n in range(9)]
    assert texts(read_lines(files.folder, ALL, 2)) == ["n7", "n8"]


def test_a_cut_line_is_left_out(files):
    files.write([b'{"at":"2026', b"\n", *packed(line(1)), b'{"at":'])
    assert texts(read_lines(files.folder, ALL, 10)) == ["n1"]


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (Filter(level="warning"), ["n2"]),
        (Filter(request="m-1"), ["n3"]),
        (Filter(logger="danzar.jobs"), ["n1"]),
        (Filter(since=datetime(2026, 1, 31, 18, 0, 3, tzinfo=UTC)), ["n3"]),
    ],
)
def test_only_what_is_wanted_is_read(files, wanted, found):
    files.write(
        packed(
            line(0, logger="danzar.jobsearch"),
            line(1, logger="danzar.jobs.store"),
            line(2, level="error"),
            line(3, request="m-1"),
        )
    )
    assert texts(read_lines(files.folder, wanted, 10)) == found


def test_following_misses_nothing_while_the_files_are_rotated(files):
    files.write(packed(line(0)))
    follower = Follower(files.folder)
    assert texts(follower.new_lines()) == []
    seen = []
    for number in range(1, 30):
        files.write(packed(line(number)))
        if number % 4 == 0:
            seen += texts(follower.new_lines())
    seen += texts(follower.new_lines())
    assert seen == [f"n{n}" for n in range(1, 30)]


def test_following_waits_for_the_first_line_and_for_the_end_of_a_line(files):
    follower = Follower(files.folder)
    assert texts(follower.new_lines()) == []
    whole = packed(line(1))[0]
    files.write([whole[:10]])
    assert texts(follower.new_lines()) == []
    files.write([whole[10:]])
    assert texts(follower.new_lines()) == ["n1"]


def test_a_follower_that_was_left_behind_goes_on_with_what_is_there(files):
    files.write(packed(line(0)))
    follower = Follower(files.folder)
    for number in range(1, 40):
        files.write(packed(line(number)))
    assert texts(follower.new_lines())[-1] == "n39"


def test_a_time_may_be_so_long_ago_or_a_moment():
    now = datetime(2026, 1, 31, 18, tzinfo=UTC)
    assert parse_since("90s", now) == now - timedelta(seconds=90)
    assert parse_since("1.5h", now) == now - timedelta(hours=1.5)
    assert parse_since("2026-01-31T18:00+00:00", now) == now
    for wrong in ("yesterday", "5", "9" * 400 + "w"):
        with pytest.raises(BadInput, match="30m"):
            parse_since(wrong, now)


def test_a_person_sees_the_request_of_a_line():
    assert line_text(line(1, request="m-7")).endswith("INFO danzar.a: n1 [m-7]\n")
