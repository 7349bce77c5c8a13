import asyncio
import contextlib
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

from danzar.core.device import ProcessUse
from danzar.core.incident import Change, IncidentRules, Observation, OpenIncidents
from danzar.core.pressure import Level, PressureRules
from danzar.errors import TelemetryUnavailable
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.monitor import MemoryMonitor
from danzar.telemetry.sampler import Reading, Sampler
from tests.gpu_memory.cards import SEED_RULES, FixedFigures, cpu, gib, gpu, seed_ledger

RULES = MemoryRules(SEED_RULES, PressureRules(90.0, 85.0, gib(1)))
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SOON_S = 10.0


class Driver:
    """A source of figures that a test can silence."""

    error: str | None = None

    async def sample(self):
        if self.error is not None:
            raise TelemetryUnavailable(self.error)
        return (gpu(0, 8.0), gpu(1, 8.0), cpu())

    async def close(self) -> None:
        """Nothing is held."""


class Rig:
    """A monitor over figures and a clock that the test moves."""

    def __init__(self, **options) -> None:
        self.figures = FixedFigures(gpu(0, 8.0), gpu(1, 8.0), cpu(0.1))
        self.at_s = 0.0
        memory = GpuMemoryManager(self.figures, seed_ledger(), RULES, now_s=lambda: self.at_s)
        self.monitor = MemoryMonitor(
            memory,
            interval_s=options.pop("interval_s", 30.0),
            now_s=lambda: self.at_s,
            wall_clock=lambda: NOON,
            **options,
        )

    @property
    def told(self) -> list:
        """Every alert so far."""
        return list(self.monitor.alerts)

    async def at(self, at_s: float, *snapshots):
        self.at_s = at_s
        if snapshots:
            self.figures.show(*snapshots)
        return await self.monitor.check()


async def test_one_incident_is_told_from_its_opening_to_its_end_with_its_duration():
    rig = Rig()
    game = (ProcessUse(812, "game.exe", gib(10)),)
    assert await rig.at(0) == ()
    (opened,) = await rig.at(30, gpu(0, 8.0), gpu(1, 1.1, processes=game))
    assert await rig.at(60, gpu(0, 8.0), gpu(1, 1.15, processes=game)) == ()
    (worse,) = await rig.at(90, gpu(0, 8.0), gpu(1, 0.4, processes=game))
    (closed,) = await rig.at(300, gpu(0, 8.0), gpu(1, 9.0))
    assert rig.told == [opened, worse, closed]
    assert [a.change for a in rig.told] == [Change.OPENED, Change.WORSENED, Change.CLOSED]
    assert {a.incident.number for a in rig.told} == {1}
    assert opened.text == (
        "High GPU utilization: Device 1 (RTX 4070 SUPER): 10.9GB of 12.0GB in use (90.8%), "
        "1.1GB free; game.exe (pid 812) holds 10.0GB. Close game.exe (pid 812) or lower its "
        "graphics settings, follow it with `!gpu status`, and consider a restart if it stays"
    )
    assert worse.incident.level is Level.CRITICAL
    assert closed.text == (
        "Back to normal: Device 1 (RTX 4070 SUPER): 3.0GB of 12.0GB in use (25.0%), 9.0GB free; "
        "its peak was 96.7%. It lasted 4 min 30 s."
    )
    assert closed.at == NOON
    assert rig.monitor.alerts == tuple(rig.told)
    assert rig.monitor.open_incidents == ()


async def test_two_devices_are_two_incidents():
    rig = Rig()
    await rig.at(0, gpu(0, 0.5), gpu(1, 1.1))
    assert [a.incident.key for a in rig.told] == ["memory:GPU-0", "memory:GPU-1"]


async def test_simulated_cards_are_called_simulated():
    rig = Rig()
    (alert,) = await rig.at(0, gpu(0, 0.5, simulated=True))
    assert "Device 0 (RTX 4070, simulated)" in alert.text


async def test_a_silent_driver_is_an_incident_of_its_own_and_closes_no_other():
    rig = Rig()
    await rig.at(0, gpu(0, 8.0), gpu(1, 0.5))
    rig.figures.fall_silent("the driver gave no answer in 5 s")
    (lost,) = await rig.at(30)
    assert lost.text.startswith("Telemetry lost: the driver gave no answer in 5 s")
    assert await rig.at(60) == ()
    back, closed = await rig.at(90, gpu(0, 8.0), gpu(1, 8.0))
    assert back.text == "The GPU driver answers again. It lasted 1 min 0 s."
    assert closed.incident.key == "memory:GPU-1"


async def test_waiting_for_the_first_figures_is_no_incident():
    rig = Rig()
    rig.figures.reading, rig.figures.is_stale = Reading(), True
    assert await rig.at(0) == ()
    rig.figures.reading = Reading((), None, "no driver")
    (lost,) = await rig.at(30)
    assert "no driver" in lost.text


async def test_figures_that_are_merely_late_are_no_incident_until_a_whole_interval_is_missed():
    rig = Rig()
    rig.figures.fall_silent(error=None)
    assert await rig.at(20) == ()
    (lost,) = await rig.at(31)
    assert lost.text.startswith("Telemetry lost: no new figures came")


async def test_a_real_sampler_whose_driver_falls_silent_and_comes_back():
    clock = SimpleNamespace(now=0.0)
    driver = Driver()
    sampler = Sampler(driver, interval_s=1.0, now_s=lambda: clock.now)
    memory = GpuMemoryManager(sampler, seed_ledger(), RULES, now_s=lambda: clock.now)
    monitor = MemoryMonitor(memory, interval_s=30.0, now_s=lambda: clock.now)
    await sampler.refresh()
    assert await monitor.check() == ()
    driver.error = "the GPU driver gave no answer in 5 s"
    clock.now = 30.0
    await sampler.refresh()
    (lost,) = await monitor.check()
    assert "no answer in 5 s" in lost.text
    driver.error = None
    clock.now = 60.0
    await sampler.refresh()
    (back,) = await monitor.check()
    assert back.text == "The GPU driver answers again. It lasted 30 s."


async def test_a_device_that_is_gone_closes_its_incident():
    rig = Rig()
    await rig.at(0, gpu(0, 8.0), gpu(1, 0.5))
    (closed,) = await rig.at(60, gpu(0, 8.0))
    assert closed.change is Change.CLOSED
    assert closed.text == "The device is no longer there. It lasted 1 min 0 s."


async def test_an_unknown_figure_leaves_the_incident_open():
    rig = Rig()
    await rig.at(0, gpu(1, 0.5))
    assert await rig.at(30, gpu(1, None)) == ()
    assert len(rig.monitor.open_incidents) == 1


async def test_the_past_is_bounded():
    rig = Rig()
    for step in range(600):
        await rig.at(float(step), gpu(1, 0.5 if step % 2 else 9.0))
    assert len(rig.monitor.alerts) == 200
    assert rig.monitor.alerts[-1].incident.number == 300


async def test_a_follower_that_fails_stops_neither_the_others_nor_the_monitor(caplog):
    rig = Rig()
    heard = []

    async def broken(_state, _changes, _now_s) -> None:
        raise RuntimeError("no disk")

    async def follow(_state, changes, _now_s) -> None:
        heard.extend(changes)

    rig.monitor.add_follower(broken)
    rig.monitor.add_follower(follow)
    await rig.at(0, gpu(1, 0.5))
    assert [c.change for c in heard] == [a.change for a in rig.told] == [Change.OPENED]
    assert "no disk" in caplog.text


async def test_it_is_switched_both_ways_while_it_runs():
    rig = Rig(enabled=False, interval_s=3600.0)
    heard = asyncio.Event()

    async def ring(_state, changes, _now_s) -> None:
        if changes:
            heard.set()

    rig.monitor.add_follower(ring)
    rig.figures.show(gpu(1, 0.5))
    async with asyncio.timeout(SOON_S), asyncio.TaskGroup() as group:
        task = group.create_task(rig.monitor.run())
        await asyncio.sleep(0)
        assert not heard.is_set()
        assert await rig.monitor.toggle() is True
        await heard.wait()
        assert await rig.monitor.toggle() is False
        heard.clear()
        rig.figures.show(gpu(1, 9.0))
        # Its hour has not passed, yet switching on looks at once.
        assert await rig.monitor.toggle() is True
        await heard.wait()
        task.cancel()
    assert [a.change for a in rig.told] == [Change.OPENED, Change.CLOSED]


async def test_it_checks_again_after_each_interval():
    rig = Rig(interval_s=0.001)
    heard = asyncio.Event()

    async def ring(_state, changes, _now_s) -> None:
        if any(change.change is Change.CLOSED for change in changes):
            heard.set()
        rig.figures.show(gpu(1, 9.0))

    rig.monitor.add_follower(ring)
    rig.figures.show(gpu(1, 0.5))
    async with asyncio.timeout(SOON_S), asyncio.TaskGroup() as group:
        task = group.create_task(rig.monitor.run())
        await heard.wait()
        task.cancel()


def test_starting_what_runs_and_stopping_what_rests_changes_nothing():
    async def play() -> list[bool]:
        monitor = Rig().monitor
        states = []
        for step in (monitor.start, monitor.stop, monitor.stop, monitor.start):
            await step()
            states.append(monitor.is_enabled)
        return states

    assert asyncio.run(play()) == [True, False, False, True]


# --- incidents that need time ---------------------------------------------------------------

PATIENT = IncidentRules(tell_after_s=10.0, calm_s=60.0, reopen_s=300.0)


async def test_followers_hear_of_every_check_with_all_that_is_open():
    rig = Rig(rules=PATIENT)
    heard = []

    async def follow(state, changes, now_s) -> None:
        heard.append((now_s, [i.told for i in state.by_key.values()], [c.change for c in changes]))

    rig.monitor.add_follower(follow)
    await rig.at(0, gpu(1, 0.5))
    await rig.at(5, gpu(1, 0.5))
    await rig.at(10, gpu(1, 0.5))
    assert heard == [
        (0, [False], [Change.OPENED]),
        (5, [False], []),
        (10, [True], [Change.TOLD]),
    ]


async def test_it_looks_when_an_incident_is_due_and_does_not_wait_for_the_interval():
    rig = Rig(interval_s=3600.0, rules=IncidentRules(tell_after_s=0.2))
    told = asyncio.Event()
    rig.monitor._now_s = asyncio.get_running_loop().time

    async def follow(state, _changes, _now_s) -> None:
        if any(i.told for i in state.by_key.values()):
            told.set()

    rig.monitor.add_follower(follow)
    rig.figures.show(gpu(1, 0.5))
    async with asyncio.timeout(SOON_S), asyncio.TaskGroup() as group:
        task = group.create_task(rig.monitor.run())
        await told.wait()
        task.cancel()


async def test_what_is_due_and_unknown_is_not_looked_at_again_and_again():
    rig = Rig(interval_s=3600.0, rules=PATIENT)
    await rig.at(0, gpu(1, 0.5))
    await rig.at(30, gpu(1, 9.0))
    rig.figures.fall_silent(error=None)
    await rig.at(200)
    checks = 0

    async def follow(_state, _changes, _now_s) -> None:
        nonlocal checks
        checks += 1

    rig.monitor.add_follower(follow)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.2):
            await rig.monitor.run()
    assert checks == 1


async def test_flaps_are_no_news_for_the_log(caplog):
    rig = Rig(rules=PATIENT)
    for turn in range(10):
        await rig.at(20.0 * turn, gpu(1, 0.5))
        await rig.at(20.0 * turn + 10, gpu(1, 9.0))
    assert [a.change for a in rig.monitor.alerts] == [Change.OPENED]
    assert caplog.text.count("incident 1") == 1


async def test_an_earlier_runs_incident_of_what_is_not_seen_yet_is_not_gone_at_once():
    before = Rig()
    leak = Observation("leak:torch:GPU-1", Level.WARNING, "Leak")
    before.monitor.add_source(lambda: [leak])
    await before.at(0, gpu(1, 9.0))
    (incident,) = before.monitor.open_incidents
    rig = Rig()
    restored = replace(incident, unwatched=True)
    rig.monitor.restore(OpenIncidents({incident.key: restored}, 1))
    assert await rig.at(30, gpu(1, 9.0)) == ()
    (gone,) = await rig.at(90, gpu(1, 9.0))
    assert gone.text.startswith("It was not seen again. It ended while nobody looked")


async def test_other_troubles_are_told_while_the_driver_is_silent():
    rig = Rig()
    lost = Observation("node:attic", Level.CRITICAL, "Machine attic went silent")
    rig.monitor.add_source(lambda: [lost])
    rig.figures.fall_silent()
    assert {a.incident.key for a in await rig.at(0)} == {"telemetry", "node:attic"}


async def test_what_ended_while_monitoring_was_off_is_closed_as_such():
    rig = Rig(rules=PATIENT)
    await rig.at(0, gpu(1, 0.5))
    await rig.at(30, gpu(1, 0.5))
    await rig.monitor.stop()
    await rig.monitor.start()
    (closed,) = await rig.at(1000, gpu(1, 9.0))
    assert closed.incident.ended_unseen
    assert closed.text.endswith("It ended while nobody looked, after 30 s to 16 min 40 s.")
