import asyncio
from contextlib import asynccontextmanager

import pytest

from danzar.core.asker import NOBODY, Asker, RequestClass
from danzar.errors import BadInput, QueueFull, WorkerDied
from danzar.inference import Outcome, Placed
from danzar.inference_fake import ScriptedInference
from danzar.vision.service import VisionService
from danzar.vision.watch import Alert, Ended, WatchService
from danzar.workers.contract import (
    Annotate,
    AnnotatedPicture,
    Capture,
    CaptureEnded,
    Detect,
    DetectedBatch,
    DetectedObject,
    Picture,
    Rank,
    RankedBatch,
    ReadLine,
    ReadText,
    TextBatch,
)
from tests.vision.conftest import config_of
from tests.vision.worlds import frame, until

PLACED = Placed("media", "cpu", simulated=False)
JPEG = Picture(64, 48, "jpeg", b"jpeg")


class Source(ScriptedInference):
    """Frames come when a test sends them; the health that is read is the frame's grey level."""

    def __init__(self):
        super().__init__()
        self.captures: dict[str, asyncio.Queue] = {}
        self.closed: list[str] = []
        self.on("detect", Detect, lambda r: [DetectedBatch(((),) * len(r.pictures))])
        self.on("rank", Rank, lambda r: [RankedBatch(((),) * len(r.pictures))])
        self.on("read", ReadText, _reads)
        self.on("media", Annotate, [AnnotatedPicture(JPEG)])

    async def stream(self, model, request, *, asker=NOBODY, on_position=None):
        if not isinstance(request, Capture):
            async for item in super().stream(model, request, asker=asker, on_position=on_position):
                yield item
            return
        queue = self.captures.setdefault(request.target, asyncio.Queue())
        yield PLACED
        try:
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, str):
                    yield Outcome(CaptureEnded(item, 0), PLACED, 1.0, 0.0)
                    return
                yield item
        finally:
            self.closed.append(request.target)


def _reads(request):
    level = request.pictures[0].data[0]
    if level > 200:
        return [TextBatch(((),))]
    return [TextBatch(((ReadLine(f"{level}%", 0.9, (15, 40, 30, 46)),),))]


class Bench:
    """A watch service with one screen to watch, and what it told."""

    def __init__(self, source, watches):
        self.source = source
        self.watches = watches
        self.events = []
        self.fail_delivery = False

    async def start(self, target="screen:1"):
        status = await self.watches.start(target, self.listen, person="ann")
        await until(lambda: target[-1] in self.source.captures)
        return status

    async def listen(self, event):
        self.events.append(event)
        if self.fail_delivery:
            raise RuntimeError("the channel is gone")

    @property
    def status(self):
        return self.watches.status()[0]

    def alerts(self):
        return [event for event in self.events if isinstance(event, Alert)]

    def ended(self):
        return [event for event in self.events if isinstance(event, Ended)]

    async def show(self, *items, target="1"):
        """Send frames one by one, each dealt with before the next."""
        for item in items:
            seen = self.status.seen
            await self.source.captures[target].put(item)
            await until(lambda seen=seen: self.status.seen > seen)
            await until(self._is_idle)

    def _is_idle(self):
        s = self.status
        return s.seen == s.skipped + s.dropped + s.processed + s.errors


@asynccontextmanager
async def bench_of(tmp_path, **watch):
    config = config_of(tmp_path, watch={"batch_wait_s": 0, **watch})
    source = Source()
    async with (
        VisionService(source, config) as vision,
        WatchService(source, vision, config) as watches,
    ):
        yield Bench(source, watches)


@pytest.fixture
async def bench(tmp_path):
    async with bench_of(tmp_path) as made:
        yield made


async def test_a_low_number_on_enough_frames_raises_one_alert_with_the_frame(bench):
    await bench.start()
    await bench.show(*(frame(level, n) for n, level in enumerate((90, 34, 30, 25, 20))))
    await until(bench.alerts)
    (alert,) = bench.alerts()
    assert (alert.rule, alert.message) == ("low health", "Health is low!")
    assert alert.reading == "health 30, below 40"
    assert alert.at_s == 2.0
    assert alert.frame_jpeg == b"jpeg"
    assert alert.observation.hud.health == 30
    assert bench.status.alerts == 1


async def test_nothing_is_raised_when_the_number_can_not_be_read(bench):
    await bench.start()
    await bench.show(*(frame(level, n) for n, level in enumerate((210, 220, 230, 240))))
    assert bench.status.processed == 4
    assert bench.alerts() == []


async def test_unchanged_frames_are_not_looked_at(bench):
    await bench.start()
    await bench.show(*(frame(90, n) for n in range(10)))
    status = bench.status
    assert (status.seen, status.processed, status.skipped) == (10, 1, 9)
    assert len(bench.source.requests(Detect)) == 1


async def test_a_rule_that_has_begun_to_count_gets_its_next_frame_even_unchanged(bench):
    await bench.start()
    await bench.show(*(frame(30, n) for n in range(4)))
    assert bench.status.processed == 2
    await until(bench.alerts)


async def test_frames_that_come_faster_than_the_models_are_dropped_not_queued(bench):
    await bench.start()
    for number in range(50):
        bench.source.captures["1"].put_nowait(frame(50 + 3 * number, number))
    await until(lambda: bench.status.seen == 50)
    await until(bench._is_idle)
    assert bench.status.dropped > 0
    assert bench.status.last.hud.health == 197


async def test_the_end_of_a_source_is_told_once(bench):
    await bench.start()
    await bench.show(frame(90))
    await bench.source.captures["1"].put("end")
    await until(bench.ended)
    assert bench.events == [Ended(1, "screen:1", "the source has come to its end")]
    await until(lambda: bench.status.ended is not None)
    assert bench.status.processed == 1


async def test_the_last_frame_is_looked_at_before_the_end_is_told(bench):
    await bench.start()
    for item in (frame(90), "end"):
        bench.source.captures["1"].put_nowait(item)
    await until(bench.ended)
    assert bench.status.processed == 1


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (WorkerDied("the reader died"), "the reader died"),
        ("it broke off after 3 s", "the source failed: it broke off after 3 s"),
    ],
)
async def test_a_source_that_dies_ends_the_watch_with_its_reason(bench, end, reason):
    await bench.start()
    await bench.source.captures["1"].put(end)
    await until(bench.ended)
    assert bench.ended()[0].reason == reason


async def test_a_silent_source_is_given_up(bench, monkeypatch):
    monkeypatch.setattr("danzar.vision.watcher._FIRST_FRAME_S", 0.0)
    monkeypatch.setattr("danzar.vision.watcher._SILENCE_S", -2.99)
    await bench.start()
    await until(bench.ended)
    assert bench.ended()[0].reason.startswith("no frame came for")


async def test_models_that_fail_again_and_again_end_the_watch(bench):
    for model, kind in (("detect", Detect), ("rank", Rank), ("read", ReadText)):
        bench.source._scripts[model, kind] = [[WorkerDied(f"{model} died")]]
    await bench.start()
    for number in range(10):
        await bench.source.captures["1"].put(frame(number * 10, number))
        await until(lambda seen=number + 1: bench.status.errors == seen)
    await until(bench.ended)
    assert "10 frames in a row failed" in bench.ended()[0].reason
    assert bench.source.closed == ["1"]


async def test_one_failed_look_is_counted_and_the_watch_goes_on(bench):
    good = bench.source._scripts["read", ReadText][0]
    for model, kind in (("detect", Detect), ("rank", Rank)):
        bench.source._scripts[model, kind] = [[WorkerDied("gone")]]
    bench.source._scripts["read", ReadText] = [[WorkerDied("read died")], good]
    await bench.start()
    await bench.show(frame(10), frame(90))
    assert (bench.status.errors, bench.status.processed) == (1, 1)
    assert "read died" in bench.status.last_error


async def test_an_alert_that_can_not_be_posted_does_not_end_the_watch(bench):
    bench.fail_delivery = True
    await bench.start()
    await bench.show(frame(30, 0), frame(20, 1))
    await until(lambda: bench.status.last_error is not None)
    assert "the channel is gone" in bench.status.last_error
    assert bench.status.ended is None


async def test_stopping_closes_the_source_and_tells_nothing(bench):
    started = await bench.start()
    (stopped,) = await bench.watches.stop(started.id)
    assert stopped.ended == "stopped"
    assert bench.source.closed == ["1"]
    assert bench.events == []
    assert await bench.watches.stop(started.id) == ()


async def test_stop_without_a_number_stops_all(bench):
    await bench.start("screen:1")
    await bench.start("screen:2")
    assert {status.id for status in await bench.watches.stop()} == {1, 2}
    assert {status.ended for status in bench.watches.status()} == {"stopped"}


async def test_leaving_the_service_stops_everything(tmp_path):
    async with bench_of(tmp_path) as bench:
        await bench.start()
    assert bench.source.closed == ["1"]


async def test_the_same_source_is_not_watched_twice(bench):
    await bench.start()
    with pytest.raises(BadInput, match="watched already, as watch 1"):
        await bench.start()


async def test_no_more_watches_than_the_config_allows(tmp_path):
    async with bench_of(tmp_path, max_watches=1) as bench:
        await bench.start("screen:1")
        with pytest.raises(QueueFull, match="1 watches run already"):
            await bench.watches.start("screen:2", bench.listen)


async def test_only_the_last_ended_watches_are_remembered(bench):
    for _ in range(8):
        await bench.start()
        await bench.watches.stop()
    assert [status.id for status in bench.watches.status()] == [8, 7, 6, 5, 4]


async def test_frames_of_several_watches_share_a_request(tmp_path):
    async with bench_of(tmp_path, batch_wait_s=1) as bench:
        for number in range(1, 4):
            await bench.start(f"screen:{number}")
        for number in range(1, 4):
            bench.source.captures[str(number)].put_nowait(frame(90))
        await until(lambda: all(s.processed == 1 for s in bench.watches.status()))
        assert [len(r.pictures) for r in bench.source.requests(Detect)] == [3]


async def test_a_rule_may_ask_for_less_than_people_are_told(bench):
    boss = DetectedObject("boss", 0.35, (0.0, 0.0, 10.0, 10.0))
    bench.source._scripts["detect", Detect] = [[DetectedBatch(((boss,),))]]
    await bench.start()
    await bench.show(frame(90))
    await until(bench.alerts)
    (alert,) = bench.alerts()
    assert alert.reading == "boss seen with 35% confidence"


async def test_a_watchs_frames_wait_in_the_turn_of_whoever_started_it(bench):
    await bench.start()
    await bench.show(frame(90, 0))
    assert set(bench.source.askers) == {Asker(RequestClass.WATCH, "ann")}
