import pytest

from danzar.logs.files import FullLog, RotatedFile, file_path, log_files

LINE = b"x" * 99 + b"\n"


def sizes(folder):
    return [file.stat().st_size for file in log_files(folder)]


def test_all_files_together_stay_within_their_bound(tmp_path):
    files = RotatedFile(tmp_path, max_bytes=1000, files=3)
    for _ in range(100):
        files.write([LINE] * 7)
    assert [file.name for file in log_files(tmp_path)] == [
        "danzar.2.jsonl",
        "danzar.1.jsonl",
        "danzar.jsonl",
    ]
    assert max(sizes(tmp_path)) <= 1000


def test_a_batch_larger_than_a_file_is_spread_over_several(tmp_path):
    RotatedFile(tmp_path, max_bytes=1000, files=3).write([LINE] * 25)
    assert sizes(tmp_path) == [1000, 1000, 500]


def test_what_older_settings_left_beyond_the_bound_is_deleted(tmp_path):
    for _ in range(6):
        RotatedFile(tmp_path, max_bytes=100, files=6).write([LINE])
    RotatedFile(tmp_path, max_bytes=100, files=2).write([LINE])
    assert sizes(tmp_path) == [100, 100]


def test_two_processes_may_write_to_one_folder(tmp_path):
    first, second = (RotatedFile(tmp_path, max_bytes=500, files=2) for _ in range(2))
    for _ in range(20):
        first.write([LINE])
        second.write([LINE])
    assert sum(sizes(tmp_path)) <= 1000


def test_only_the_owner_may_read_it(tmp_path):
    RotatedFile(tmp_path, max_bytes=500, files=2).write([LINE])
    assert file_path(tmp_path, 0).stat().st_mode & 0o077 == 0


class OpenElsewhere(RotatedFile):
    """As on Windows, where a file that somebody reads can't be renamed."""

    def _rotate(self):
        raise PermissionError(13, "used by another process")


def test_a_file_that_can_not_be_renamed_goes_on_for_a_while_and_is_bounded(tmp_path):
    files = OpenElsewhere(tmp_path, max_bytes=500, files=2)
    with pytest.raises(FullLog):
        for _ in range(100):
            files.write([LINE])
    assert sum(sizes(tmp_path)) <= 1500
    RotatedFile(tmp_path, max_bytes=500, files=2).write([LINE])
    assert sizes(tmp_path)[-1] == 100
