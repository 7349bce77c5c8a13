import asyncio
import sqlite3

import pytest

from danzar.broker.measured import KEEP_ALL, KEEP_PER_KEY, MeasuredKey, Measurements
from danzar.errors import StoreFailed

KEY = MeasuredKey("llama", "f1", '{"n_ctx":2048}', "NVIDIA GeForce RTX 4070")


async def test_what_was_recorded_is_there_after_a_restart_newest_first(tmp_path):
    path = tmp_path / "data" / "measured.db"
    async with Measurements.open(path) as measurements:
        await measurements.record(KEY, 100, 110, 1.0)
        await measurements.record(KEY, 100, 120, 2.0)
    async with Measurements.open(path) as measurements:
        found = await measurements.for_file("llama", "f1", "NVIDIA GeForce RTX 4070")
    assert [(m.estimated_bytes, m.measured_bytes, m.at_s) for m in found] == [
        (100, 120, 2.0),
        (100, 110, 1.0),
    ]
    assert found[0].settings == KEY.settings


async def test_files_devices_and_engines_are_kept_apart(tmp_path):
    async with Measurements.open(tmp_path / "m.db") as measurements:
        await measurements.record(KEY, 100, 110, 1.0)
        for engine, file_hash, device_class in (
            ("torch", "f1", KEY.device_class),
            ("llama", "f2", KEY.device_class),
            ("llama", "f1", "cpu"),
        ):
            assert await measurements.for_file(engine, file_hash, device_class) == ()


async def test_other_settings_of_the_file_are_found_too(tmp_path):
    other = MeasuredKey(KEY.engine, KEY.file_hash, '{"n_ctx":8192}', KEY.device_class)
    async with Measurements.open(tmp_path / "m.db") as measurements:
        await measurements.record(KEY, 100, 110, 1.0)
        await measurements.record(other, 200, 210, 2.0)
        found = await measurements.for_file(KEY.engine, KEY.file_hash, KEY.device_class)
    assert {m.settings for m in found} == {KEY.settings, other.settings}


async def test_only_the_newest_of_a_key_are_kept(tmp_path):
    async with Measurements.open(tmp_path / "m.db") as measurements:
        for number in range(KEEP_PER_KEY + 5):
            await measurements.record(KEY, 100, 101 + number, float(number))
        found = await measurements.for_file(KEY.engine, KEY.file_hash, KEY.device_class)
    assert [m.at_s for m in found] == [float(n) for n in reversed(range(5, KEEP_PER_KEY + 5))]


async def test_all_keys_together_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr("danzar.broker.measured.KEEP_ALL", 20)
    assert KEEP_ALL > 20
    async with Measurements.open(tmp_path / "m.db") as measurements:
        for number in range(50):
            key = MeasuredKey("llama", f"f{number}", "{}", "cpu")
            await measurements.record(key, 1, 1, float(number))
        assert await measurements.for_file("llama", "f29", "cpu") == ()
        assert len(await measurements.for_file("llama", "f30", "cpu")) == 1


async def test_device_classes_are_listed_newest_first(tmp_path):
    async with Measurements.open(tmp_path / "m.db") as measurements:
        for number, name in enumerate(("cpu", "RTX 4070", "cpu", "RTX 4090")):
            await measurements.record(MeasuredKey("llama", "f1", "{}", name), 1, 1, float(number))
        assert await measurements.device_classes("llama", "f1") == ("RTX 4090", "cpu", "RTX 4070")


async def test_many_writers_at_once_lose_nothing(tmp_path):
    async with Measurements.open(tmp_path / "m.db") as measurements:
        async with asyncio.TaskGroup() as tasks:
            for number in range(30):
                key = MeasuredKey("llama", "f1", f"{number}", "cpu")
                tasks.create_task(measurements.record(key, 1, 1, float(number)))
        assert len(await measurements.for_file("llama", "f1", "cpu")) == 30


@pytest.mark.parametrize(("estimated", "measured"), [(0, 1), (1, 0), (-5, 1)])
async def test_a_size_that_can_not_be_is_an_error(tmp_path, estimated, measured):
    async with Measurements.open(tmp_path / "m.db") as measurements:
        with pytest.raises(ValueError, match="above 0"):
            await measurements.record(KEY, estimated, measured, 1.0)


@pytest.mark.parametrize("content", [b"this is no database, " * 50, None])
async def test_a_damaged_file_or_another_version_begins_anew(tmp_path, content):
    path = tmp_path / "m.db"
    if content is None:
        connection = sqlite3.connect(path)
        connection.execute("PRAGMA user_version = 99")
        connection.close()
    else:
        path.write_bytes(content)
    async with Measurements.open(path) as measurements:
        await measurements.record(KEY, 100, 110, 1.0)
        assert len(await measurements.for_file("llama", "f1", KEY.device_class)) == 1


async def test_a_place_that_can_not_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreFailed, match="can't be opened"):
        async with Measurements.open(tmp_path / "file" / "m.db"):
            pass


async def test_a_closed_file_is_told(tmp_path):
    async with Measurements.open(tmp_path / "m.db") as measurements:
        pass
    with pytest.raises(StoreFailed, match="can't be read"):
        await measurements.for_file("llama", "f1", "cpu")
    with pytest.raises(StoreFailed, match="can't be written"):
        await measurements.record(KEY, 1, 1, 1.0)
