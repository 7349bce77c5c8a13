"""Real worker processes: what they answer, and what is left when they break."""

import asyncio
import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import psutil
import pytest

from danzar import errors
from danzar.workers import spawn
from danzar.workers.contract import (
    ChatMessage,
    CountTokens,
    Generate,
    Generated,
    LoadSpec,
    TextDelta,
    TokenCounts,
)
from danzar.workers.outcomes import Finished, WorkerLimits
from danzar.workers.process import WorkerProcess

pytestmark = [
    pytest.mark.process,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

QUICK = WorkerLimits(
    heartbeat_s=0.1, heartbeat_lost_s=1.0, inactive_s=1.0, cancel_s=2.0, stop_s=2.0
)


def say(text, **settings):
    return Generate((ChatMessage("user", text),), **settings)


@contextlib.asynccontextmanager
async def started(*models, limits=QUICK, **options):
    worker = await WorkerProcess.start("echo", limits=limits, **options)
    try:
        for name, settings in models:
            await worker.load(LoadSpec(name, "echo", None, settings=settings))
        yield worker
    finally:
        await worker.stop()
        assert not psutil.pid_exists(worker.pid)


async def collect(worker, model, request):
    return [item async for item in worker.run(model, request)]


async def test_words_are_streamed_and_then_the_result_comes():
    async with started(("e", {})) as worker:
        items = await collect(worker, "e", say("hello there"))
    assert items[:2] == [TextDelta("hello"), TextDelta(" there")]
    assert items[2].result == Generated("stop", 2, 2)
    assert items[2].seconds >= 0


async def test_two_models_of_a_worker_answer_at_the_same_time():
    async with started(("slow", {"word_s": 0.2}), ("fast", {})) as worker:
        slow = asyncio.create_task(collect(worker, "slow", say("a b c d e")))
        await collect(worker, "fast", say("x"))
        assert not slow.done()
        assert len(await slow) == 6


async def test_requests_for_one_model_wait_their_turn_and_do_not_count_as_hung():
    async with started(("e", {"word_s": 0.4})) as worker:
        first, second = await asyncio.gather(
            collect(worker, "e", say("a b c d")), collect(worker, "e", say("e"))
        )
    assert isinstance(first[-1], Finished)
    assert second[0] == TextDelta("e")


async def test_slots_let_one_model_answer_several_at_once():
    async with started() as worker:
        spec = LoadSpec("e", "echo", None, slots=2, settings={"word_s": 0.3})
        await worker.load(spec)
        slow = asyncio.create_task(collect(worker, "e", say("a b c d e")))
        await collect(worker, "e", say("x"))
        assert not slow.done()
        await slow
        await worker.unload("e")
        assert worker.alive


async def test_closing_the_stream_stops_the_computing_and_leaves_the_model_idle():
    async with started(("e", {"word_s": 0.05})) as worker:
        stream = worker.run("e", say("word " * 1000))
        assert await anext(stream) == TextDelta("word")
        await stream.aclose()
        assert (await collect(worker, "e", say("next")))[0] == TextDelta("next")


async def test_a_request_for_an_unknown_model_is_told_so():
    async with started() as worker:
        with pytest.raises(errors.BackendFailed, match="nope is not loaded"):
            await collect(worker, "nope", say("x"))


@pytest.mark.parametrize(
    ("trouble", "expected"),
    [("out_of_memory", errors.OutOfMemory), ("error", errors.BackendFailed)],
)
async def test_an_error_of_the_model_leaves_the_worker_alive(trouble, expected):
    async with started(("bad", {"run": trouble}), ("good", {})) as worker:
        with pytest.raises(expected, match="as the settings say"):
            await collect(worker, "bad", say("x"))
        assert isinstance((await collect(worker, "good", say("x")))[-1], Finished)


async def test_a_model_that_does_not_close_takes_no_others_work_down():
    slow = {"card_folder": "nowhere", "card_s": 3.0}
    async with started(("stuck", slow), ("good", {"word_s": 0.2})) as worker:
        answer = asyncio.create_task(collect(worker, "good", say("a b c d e f g")))
        await asyncio.sleep(0)
        with pytest.raises(errors.WorkerHung, match="unloading stuck took more than"):
            await worker.unload("stuck", timeout_s=0.2)
        assert worker.busy_models == {"good"}
        assert len(await answer) == 8


async def test_a_model_that_does_not_close_costs_an_idle_worker_its_life():
    async with started(("stuck", {"card_folder": "nowhere", "card_s": 3.0})) as worker:
        with pytest.raises(errors.WorkerHung, match="was killed: unloading stuck"):
            await worker.unload("stuck", timeout_s=0.2)
        assert not worker.alive


async def test_whoever_must_know_the_process_id_knows_it_before_the_worker_can_do_anything():
    told = []

    async def note(pid):
        told.append(pid)
        assert psutil.Process(pid).num_threads() == 1  # it waits for its first line

    async with started(on_spawn=note) as worker:
        assert told == [worker.pid]


async def test_a_worker_that_cannot_be_written_down_is_not_started():
    told = []

    async def fail(pid):
        told.append(pid)
        raise RuntimeError("disk on fire")

    with pytest.raises(RuntimeError, match="disk on fire"):
        await WorkerProcess.start("echo", limits=QUICK, on_spawn=fail)
    assert not psutil.pid_exists(told[0])


async def test_running_out_that_ends_the_process_is_out_of_memory_while_loading_and_running():
    async with started(("e", {"run_room": 0, "dies": True})) as worker:
        with pytest.raises(errors.OutOfMemory, match="CUDA error"):
            await collect(worker, "e", say("x"))
        assert not worker.alive
    async with started() as worker:
        spec = LoadSpec("e", "echo", None, settings={"load_room": 0, "dies": True})
        with pytest.raises(errors.OutOfMemory, match="CUDA error"):
            await worker.load(spec)


@pytest.mark.parametrize(
    ("settings", "expected", "match"),
    [
        ({"load": "refuse"}, errors.ModelRefused, "refuses"),
        ({"load": "out_of_memory"}, errors.OutOfMemory, "full"),
        ({"load": "crash"}, errors.BackendFailed, "crash while loading"),
        ({"lod": "none"}, errors.ModelRefused, "lod"),
    ],
)
async def test_a_model_that_cannot_load_says_why_and_can_be_tried_again(settings, expected, match):
    async with started() as worker:
        with pytest.raises(expected, match=match):
            await worker.load(LoadSpec("e", "echo", None, settings=settings))
        assert worker.models == frozenset()
        await worker.load(LoadSpec("e", "echo", None))
        assert worker.models == {"e"}


async def test_a_model_of_another_engine_is_refused():
    async with started() as worker:
        with pytest.raises(errors.BackendFailed, match="does not belong"):
            await worker.load(LoadSpec("c", "clip", None))


async def test_an_unloaded_model_is_gone_and_its_name_is_free_again():
    async with started(("e", {})) as worker:
        await worker.unload("e")
        await worker.unload("never was")
        with pytest.raises(errors.BackendFailed, match="not loaded"):
            await collect(worker, "e", say("x"))
        await worker.load(LoadSpec("e", "echo", None))
        assert isinstance((await collect(worker, "e", say("x")))[-1], Finished)


async def test_kill_9_in_the_middle_of_an_answer_is_told_at_once_and_leaves_nothing():
    ends = []
    async with started(("e", {"word_s": 0.1}), on_exit=ends.append) as worker:
        stream = worker.run("e", say("word " * 100))
        await anext(stream)
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(errors.WorkerDied, match="SIGKILL"):
            async for _ in stream:
                pass
        end = await worker.wait_exit()
        assert ends == [end]
        assert (end.code, end.expected, end.hung) == (-signal.SIGKILL, False, False)
        assert not worker.alive
        assert worker.models == frozenset()
        with pytest.raises(errors.WorkerDied):
            await collect(worker, "e", say("more"))


async def test_a_native_crash_keeps_the_last_output_for_the_log():
    async with started(("e", {"run": "abort"})) as worker:
        with pytest.raises(errors.WorkerDied, match="SIGABRT") as caught:
            await collect(worker, "e", say("x"))
        assert "Fatal Python error" in str(caught.value)
        assert "echo.py" in (await worker.wait_exit()).output


async def test_an_exit_with_a_status_names_it_and_quotes_the_output():
    async with started(("e", {"run": "exit"})) as worker:
        with pytest.raises(
            errors.WorkerDied, match=r"status 3\. It said: echo: leaving on purpose"
        ):
            await collect(worker, "e", say("x"))


async def test_a_model_that_hangs_is_killed_and_its_neighbours_are_told_too():
    async with started(("bad", {"run": "hang"}), ("good", {"word_s": 0.1})) as worker:
        neighbour = asyncio.create_task(collect(worker, "good", say("word " * 200)))
        with pytest.raises(errors.WorkerHung, match="bad gave no sign of progress for 1 s"):
            await collect(worker, "bad", say("x y"))
        with pytest.raises(errors.WorkerHung):
            await neighbour
        assert not psutil.pid_exists(worker.pid)


async def test_slow_computing_that_shows_progress_is_not_a_hang():
    async with started(("e", {"word_s": 2.5})) as worker:
        assert isinstance((await collect(worker, "e", say("x")))[-1], Finished)


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 8])
async def test_a_start_that_is_cancelled_leaves_no_process_and_no_socket(turns):
    before = psutil.Process().children()
    start = asyncio.create_task(WorkerProcess.start("echo", limits=QUICK))
    for _ in range(turns):
        await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert psutil.Process().children() == before
    del start
    gc.collect()  # warns of what nobody closed, and warnings are errors here


async def test_a_request_that_ignores_its_cancellation_costs_the_worker_its_life():
    limits = WorkerLimits(heartbeat_s=0.1, cancel_s=0.3, inactive_s=30, stop_s=2)
    async with started(("e", {"run": "hang"}), limits=limits) as worker:
        stream = worker.run("e", say("x y"))
        await anext(stream)
        await stream.aclose()
        end = await worker.wait_exit()
        assert end.hung
        assert "did not stop" in end.cause


async def test_a_frozen_process_is_noticed_by_its_missing_heartbeats():
    async with started(("e", {"word_s": 0.1})) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        end = await asyncio.wait_for(worker.wait_exit(), 10)
        assert end.hung
        assert "no sign of life" in end.cause


async def test_who_was_away_himself_takes_nobody_for_silent():
    """As after the machine slept: the bot and its worker stood still together."""
    async with started(("e", {"word_s": 0.1})) as worker:
        stream = worker.run("e", say("one two"), inactive_s=QUICK.inactive_s)
        await anext(stream)
        os.kill(worker.pid, signal.SIGSTOP)
        await asyncio.sleep(0.2)  # what was on its way comes
        time.sleep(3 * QUICK.heartbeat_lost_s)  # noqa: ASYNC251 - the bot stands still
        asyncio.get_running_loop().call_later(0.2, os.kill, worker.pid, signal.SIGCONT)
        rest = [item async for item in stream]
        assert rest[-1].result.finish_reason == "stop"
        assert worker.alive


async def test_loading_that_takes_too_long_is_ended():
    async with started() as worker:
        with pytest.raises(errors.WorkerHung, match=r"loading e took more than 0\.5 s"):
            spec = LoadSpec("e", "echo", None, settings={"load": "hang"})
            await worker.load(spec, timeout_s=0.5)


async def test_a_worker_that_cannot_start_says_why_and_leaves_nothing(monkeypatch, tmp_path):
    package = tmp_path / "sitecustomize.py"
    package.write_text("import sys\nsys.exit('error: no libcuda today')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ends = []
    with pytest.raises(errors.WorkerStartFailed, match="no libcuda today"):
        await WorkerProcess.start("echo", limits=QUICK, on_exit=ends.append)
    assert ends == []


async def test_a_worker_that_says_nothing_is_given_up_after_the_ready_time(monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import time\ntime.sleep(60)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    limits = WorkerLimits(ready_s=0.5)
    with pytest.raises(errors.WorkerStartFailed, match=r"not ready after 0\.5 s"):
        await WorkerProcess.start("echo", limits=limits)


async def test_stop_ends_a_busy_worker_and_may_be_repeated():
    async with started(("e", {"word_s": 0.1})) as worker:
        stream = worker.run("e", say("word " * 1000))
        await anext(stream)
        end = await worker.stop()
        assert end.expected
        assert await worker.stop() == end
        rest = [item async for item in stream]
        assert rest[-1].result.finish_reason == "cancelled"


async def test_stop_ends_a_worker_that_does_not_listen():
    limits = WorkerLimits(stop_s=0.3)
    async with started(("e", {}), limits=limits) as worker:
        os.kill(worker.pid, signal.SIGSTOP)
        assert (await worker.stop()).code == -signal.SIGKILL


async def test_a_process_that_outlasts_sigkill_is_told_and_not_waited_for():
    limits = WorkerLimits(stop_s=0.1, killed_s=0.0)  # as if it hung in the driver
    async with started(("e", {}), limits=QUICK) as worker:
        worker._limits = limits
        os.kill(worker.pid, signal.SIGSTOP)
        with pytest.raises(errors.WorkerHung, match="hangs in the driver"):
            await worker.stop()
        worker._limits = QUICK


async def test_heartbeats_tell_memory_and_unknown_stays_unknown():
    async with started(("e", {})) as worker:
        await collect(worker, "e", say("x"))
        async with asyncio.timeout(5):
            while worker.memory is None:
                await asyncio.sleep(0.05)
        assert worker.memory.rss_bytes > 1_000_000
        assert worker.memory.allocator is None


async def test_native_output_is_kept_within_its_limit():
    limits = WorkerLimits(kept_output_bytes=100)
    async with started(limits=limits) as worker:
        worker._receive_bytes(b"rubbish")  # must not disturb anything
        worker._link.send(b"x" * 500_000)  # the child reports what it could not read
        for _ in range(50):
            worker._link.send(b"y")
        assert await worker.load(LoadSpec("e", "echo", None))
        await worker.stop()
        assert 0 < len((await worker.wait_exit()).output) <= 100


async def test_counts_cross_the_boundary():
    async with started(("e", {})) as worker:
        items = await collect(worker, "e", CountTokens(("a b", "")))
    assert [item.result for item in items] == [TokenCounts((2, 0))]


async def test_a_worker_ends_when_the_bot_is_killed(tmp_path):
    script = textwrap.dedent("""
        import asyncio
        from danzar.workers.process import WorkerProcess
        async def main():
            worker = await WorkerProcess.start("echo")
            print(worker.pid, flush=True)
            await asyncio.sleep(60)
        asyncio.run(main())
    """)
    bot = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=subprocess.PIPE)
    pid = int(await bot.stdout.readline())
    worker = psutil.Process(pid)
    bot.kill()
    await bot.wait()
    await asyncio.to_thread(psutil.wait_procs, [worker], 10)
    assert not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE
    bot._transport.close()


async def test_keys_are_neither_in_arguments_nor_environment(monkeypatch):
    monkeypatch.setenv("DISCORD_TOKEN", "hush-hush")
    async with started() as worker:
        process = psutil.Process(worker.pid)
        visible = json.dumps([process.cmdline(), process.environ()])
    assert "hush-hush" not in visible
    assert "127.0.0.1" not in " ".join(process_words(visible))


def process_words(visible):
    return json.loads(visible)[0]


def test_a_child_sees_exactly_the_cards_it_is_given():
    env = spawn.child_environment({"CUDA_VISIBLE_DEVICES": "0,1"}, ("GPU-abc",))
    assert env["CUDA_VISIBLE_DEVICES"] == "GPU-abc"
    assert env["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert spawn.child_environment({}, ())["CUDA_VISIBLE_DEVICES"] == ""


def test_a_model_over_two_cards_sees_them_in_the_order_of_its_split():
    env = spawn.child_environment({}, ("GPU-b", "GPU-a"))
    assert env["CUDA_VISIBLE_DEVICES"] == "GPU-b,GPU-a"


def test_the_owner_may_set_how_threads_wait():
    assert spawn.child_environment({"GOMP_SPINCOUNT": "7"}, ())["GOMP_SPINCOUNT"] == "7"


def test_the_bots_side_imports_no_model_library():
    code = (
        "import sys, danzar.workers.process; "
        "print([m for m in ('torch','llama_cpp','ultralytics','cv2','av','danzar.backends') "
        "if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("aggressive", [False, True])
async def test_a_worker_gives_back_memory_while_it_answers(aggressive):
    async with started(("e", {})) as worker:
        text, trimmed = await asyncio.gather(
            collect(worker, "e", say("x y z")), worker.trim(aggressive=aggressive)
        )
        assert text
        assert trimmed.rss_before_bytes > 1_000_000
        assert trimmed.rss_after_bytes > 1_000_000
        assert trimmed.reserved_before_bytes is None, "it has no torch"


async def test_a_worker_that_is_gone_can_not_be_trimmed():
    async with started(("e", {})) as worker:
        await worker.stop()
        with pytest.raises(errors.WorkerDied):
            await worker.trim()
