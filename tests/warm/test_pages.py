"""The page cache, as the system tells it."""

import os
import sys

import pytest

from danzar.broker import warm_pages
from danzar.broker.warm_pages import drop, read_ahead, resident_bytes
from danzar.core.reload import LoadWay
from danzar.units import MIB
from tests.manager.worlds import echo_model
from tests.warm.echo_bot import echo_bot, until

linux = pytest.mark.skipif(sys.platform != "linux", reason="the page cache is asked on Linux only")
SIZE = 4 * MIB


@pytest.fixture
def file(tmp_path):
    """A file on a disk, where nothing waits to be written."""
    path = tmp_path / "model.gguf"
    with path.open("wb") as stream:
        stream.write(os.urandom(SIZE))
        stream.flush()
        os.fsync(stream.fileno())
    drop(path)
    if resident_bytes(path):
        pytest.skip("this file system keeps its files in memory")
    return path


@linux
def test_pages_come_with_reading_and_go_when_asked(file):
    assert resident_bytes(file) == 0
    read_ahead(file, lambda: True)
    assert resident_bytes(file) == SIZE
    assert drop(file)
    assert resident_bytes(file) == 0


@linux
def test_reading_ahead_ends_when_it_is_wanted_no_more(file):
    read_ahead(file, lambda: False)
    assert resident_bytes(file) == 0


@linux
def test_a_file_of_someone_else_is_unknown_and_not_zero(file, monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    monkeypatch.setattr(os, "access", lambda path, mode: False)

    assert resident_bytes(file) is None


def test_elsewhere_nothing_is_known_and_nothing_done(tmp_path, monkeypatch):
    monkeypatch.setattr(warm_pages, "SUPPORTED", False)
    path = tmp_path / "model.gguf"
    path.write_bytes(b"x")

    assert resident_bytes(path) is None
    assert not drop(path)


def test_a_file_that_is_gone_is_unknown(tmp_path):
    assert resident_bytes(tmp_path / "none.gguf") is None
    assert not drop(tmp_path / "none.gguf")
    read_ahead(tmp_path / "none.gguf", lambda: True)


@linux
@pytest.mark.process
async def test_a_model_whose_file_is_cached_is_warm_and_another_is_read_ahead(file):
    async with echo_bot(echo_model("chat", 0.1), files={"chat": file}) as bot:
        await bot.manager.load("chat")
        assert bot.way("chat") == LoadWay()
        await until(lambda: resident_bytes(file) == SIZE)  # read while it was loaded
        await bot.manager.unload("chat")

        await bot.manager.load("chat")
        assert bot.way("chat") == LoadWay(warm=True)


@linux
@pytest.mark.process
async def test_the_page_cache_keeps_no_more_than_its_budget(file, tmp_path):
    models = [echo_model("chat", 0.1), echo_model("other", 0.1)]
    async with echo_bot(*models, files={"chat": file}) as bot:
        read_ahead(file, lambda: True)
        bot.keeper.look_soon()
        state = bot.manager.scheduler.state
        await until(lambda: "chat" in state.warm.pages and state.warm.pages["chat"].resident_bytes)

        bot.manager.change_rules(bot.rules(page_cache_bytes=SIZE // 2))
        bot.keeper.look_soon()

        await until(lambda: resident_bytes(file) == 0)
