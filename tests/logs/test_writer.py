import logging
import threading

import pytest

from danzar.logs.ring import Ring
from danzar.logs.writer import LogWriter
from danzar.request_id import request, set_request_id


@pytest.fixture
def opened():
    """Makes writers, each with a logger of its own, and closes them."""
    made = []
    set_request_id(None)  # Tests share one context: one before may have left an id.

    def open_writer(*sinks, **options):
        writer = LogWriter(sinks, secrets=("s3cret-value",), **options)
        log = logging.Logger("danzar.test", logging.DEBUG)  # noqa: LOG001 - of this test alone
        log.addHandler(writer)
        made.append(writer)
        return log, writer

    yield open_writer
    for writer in made:
        writer.close()


def test_a_line_has_its_request_and_its_traceback_and_no_secret(opened):
    lines = []
    log, writer = opened(lines.extend)
    with request("m") as request_id:
        try:
            int("bad s3cret-value")
        except ValueError:
            log.exception("failed with %s", {"token": "abc"})
    log.debug("later")
    writer.close()
    failed, later = lines
    assert (failed.level, failed.logger, failed.request) == ("error", "danzar.test", request_id)
    assert failed.text == "failed with {'token': '***'}"
    assert failed.error.startswith("Traceback")
    assert failed.error.endswith("'bad ***'")
    assert (later.request, later.error) == (None, None)


def test_a_disk_that_hangs_makes_nobody_wait_and_what_is_lost_is_counted_and_told(opened):
    lines, go_on = [], threading.Event()

    def hanging(batch):
        go_on.wait(30)
        lines.extend(batch)

    log, writer = opened(hanging, most=50)
    for number in range(2000):
        log.info("line %d", number)
    lost = writer.dropped
    assert lost >= 2000 - 50 - 500
    go_on.set()
    writer.close()
    texts = [line.text for line in lines]
    told = [int(text.split()[0]) for text in texts if text.endswith("of the log were lost")]
    assert sum(told) == lost
    assert len([text for text in texts if text.startswith("line ")]) == 2000 - lost


def test_a_disk_that_fails_is_told_once_to_the_other_sinks_and_stops_none(opened):
    lines = []

    def failing(batch):
        raise OSError(28, "No space left on device")

    log, writer = opened(failing, lines.extend)
    log.info("one")
    log.info("two")
    writer.close()
    texts = [line.text for line in lines]
    assert {"one", "two"} <= set(texts)
    assert len([text for text in texts if "No space left" in text]) == 1
    assert writer.dropped >= 2


def test_a_line_has_a_bounded_length_and_a_wrong_format_is_no_error(opened):
    lines = []
    log, writer = opened(lines.extend)
    log.info("x" * 1_000_000)
    log.info("%d of them", "many")
    writer.close()
    assert len(lines[0].text) < 9000
    assert lines[1].text == "%d of them ('many',)"


def test_the_ring_keeps_the_newest_lines_and_tells_what_is_new(opened):
    ring = Ring(keep_lines=5)

    def to_ring(lines):
        for line in lines:
            ring.add(line)

    log, writer = opened(to_ring)
    for number in range(8):
        log.log(logging.WARNING if number % 2 else logging.INFO, "line %d", number)
    writer.close()
    assert [line.text for line in ring.newest(3)] == ["line 5", "line 6", "line 7"]
    assert [line.text for line in ring.newest(9, level="warning")] == ["line 3", "line 5", "line 7"]
    assert [line.number for line in ring.since(6)] == [7, 8]
    assert [line.number for line in ring.since(0)] == [4, 5, 6, 7, 8]
    assert ring.since(8) == ()
