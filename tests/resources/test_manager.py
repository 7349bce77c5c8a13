"""The seed's functions on machines of plain figures."""

import asyncio
import gc
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from danzar.core.book import Lease, LeaseState
from danzar.core.device_memory import describe_memory
from danzar.core.ledger import Ledger
from danzar.core.pressure import Level
from danzar.core.upkeep import AllocatorView, TrimLevel, TrimReport, TrimRow
from danzar.errors import BadInput, CannotPlace
from danzar.resources.machine import LiveMachine
from danzar.resources.manager import KEPT_READINGS, Parts, ResourceManager
from danzar.resources.open_resources import cached_by_device
from danzar.resources.runs import RUNS_FILE, Runs
from danzar.resources.system import lows
from danzar.units import GIB, MIB
from tests.gpu_memory.cards import cpu, gpu
from tests.resources.rig import PROFILES, SEED_PARAMS, Machine, measured, room

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
LOW_DISK = PROFILES.common.model_copy(
    update={"disk_reserve": PROFILES.common.disk_reserve.model_copy(update={"value": 2**60})}
)


def resources(tmp_path, *cards, **more):
    ram = more.pop("ram", room("cpu", 64.0, name="host RAM"))
    machine = more.pop("machine", None) or Machine(cards, ram, more.pop("memory", ()))
    return ResourceManager(Parts(machine, tmp_path, clock=lambda: NOON, **more))


class TestEstimate:
    def test_the_seeds_call_gives_the_seeds_figures(self, tmp_path):
        found = resources(tmp_path, room()).estimate_resource_requirements(
            model_type="t2v-A14B", resolution="720p", steps=50, duration=4
        )
        assert found.vram_mb > 80_000
        assert found.estimated_time_seconds > 3600
        assert (found.frames, found.size) == (65, "1280x720")

    def test_it_works_without_a_gpu_and_says_what_the_time_is_for(self, tmp_path):
        found = resources(tmp_path).estimate_resource_requirements("sdxl")
        assert found.time_source == "estimate for RTX 4090"
        assert found.vram_mb > 0

    def test_adapters_and_pictures_are_reckoned_with(self, tmp_path):
        manager = resources(tmp_path, room())
        plain = manager.estimate_resource_requirements("sdxl")
        more = manager.estimate_resource_requirements("sdxl", lora=True, batch=2)
        assert more.vram_bytes > plain.vram_bytes

    def test_an_unknown_card_is_told_with_what_the_time_is_for(self, tmp_path):
        found = resources(tmp_path, room(name="Foo 9")).estimate_resource_requirements("sdxl")
        assert found.time_source == "estimate for an RTX 4090, as Foo 9 is not known"


class TestCheck:
    def test_the_card_with_most_room_is_asked(self, tmp_path):
        manager = resources(tmp_path, room("cuda:0", 3.0), room("cuda:1", 7.0))
        assert manager.check_vram_availability(6000) == (
            True,
            "cuda:1 has room for 7.0 GiB; 5.9 GiB are needed",
        )

    def test_a_margin_counts_and_is_told(self, tmp_path):
        manager = resources(tmp_path, room("cuda:0", 6.0))
        assert manager.check_vram_availability(6000)[0]
        available, text = manager.check_vram_availability(6000, safety_margin_mb=1024)
        assert not available
        assert "6.9 GiB are needed, 1.0 GiB of it as a margin" in text
        assert "879.0 MiB are missing" in text or "are missing" in text

    def test_idle_models_that_would_make_room_are_named(self, tmp_path):
        manager = resources(tmp_path, room("cuda:0", 2.0, 8.0, ("chat",)))
        available, text = manager.check_vram_availability(6000)
        assert not available
        assert text.endswith("it fits once chat left, idle now")

    @pytest.mark.parametrize("cards", [(), (room("cuda:0", None),)], ids=["no GPU", "mute driver"])
    def test_without_a_figure_the_answer_is_no_with_what_ram_has(self, tmp_path, cards):
        available, text = resources(tmp_path, *cards).check_vram_availability(1)
        assert not available
        assert "No GPU says what is free" in text
        assert "RAM has room for 64.0 GiB" in text

    @pytest.mark.parametrize("figure", [-1, float("nan"), float("inf")])
    def test_a_figure_that_is_none_is_refused(self, tmp_path, figure):
        with pytest.raises(BadInput, match="required_mb"):
            resources(tmp_path, room()).check_vram_availability(figure)

    def test_exactly_what_is_free_fits(self, tmp_path):
        assert resources(tmp_path, room("cuda:0", 6.0)).check_vram_availability(6 * 1024)[0]


class TestOptimize:
    def test_the_seeds_example(self, tmp_path):
        card = room("cuda:0", 23.5, name="NVIDIA GeForce RTX 4090")
        manager = resources(tmp_path, card)
        params, suggestions = manager.optimize_parameters_for_resources(SEED_PARAMS)
        assert params == {
            **SEED_PARAMS, "offload": "layers", "precision": "fp8", "resolution": "1280x720"
        }  # fmt: skip
        assert all(s.reason and s.effect for s in suggestions)
        assert SEED_PARAMS["resolution"] == "1080p"

    def test_what_fits_comes_back_as_it_was(self, tmp_path):
        asked = {"model_type": "sdxl", "prompt": "a cat", "seed": 1}
        manager = resources(tmp_path, room("cuda:0", 11.0))
        assert manager.optimize_parameters_for_resources(asked) == (asked, [])

    def test_width_and_height_are_changed_where_they_were_given(self, tmp_path):
        asked = {"model_type": "sd-1.5", "width": 1024, "height": 1024, "offload": "layers"}
        asked |= {"vae_tiling": True, "text_encoder_device": "cpu", "precision": "fp8"}
        manager = resources(tmp_path, room("cuda:0", 1.35))
        params, _ = manager.optimize_parameters_for_resources(asked)
        assert "resolution" not in params
        assert params["width"] == params["height"] < 1024

    def test_the_impossible_raises_with_what_is_missing(self, tmp_path):
        manager = resources(tmp_path, room("cuda:0", 6.0), ram=room("cpu", 8.0))
        with pytest.raises(CannotPlace, match=r"does not fit, whatever is changed: .* of RAM"):
            manager.optimize_parameters_for_resources(SEED_PARAMS)

    def test_a_misspelt_parameter_is_named(self, tmp_path):
        with pytest.raises(BadInput, match="did you mean duration"):
            resources(tmp_path).optimize_parameters_for_resources(
                {"model_type": "t2v", "durations": 4}
            )


class TestPreflight:
    async def test_idle_models_leave_before_quality_does(self, tmp_path):
        manager = resources(tmp_path, room("cuda:0", 2.0, 11.0, ("chat",)))
        found = await manager.preflight({"model_type": "sdxl"})
        assert (found.verdict, found.device, found.leaving) == ("ready", "cuda:0", ("chat",))
        assert found.may_run
        assert "idle models leave for it (chat)" in found.text

    async def test_nobody_leaves_where_there_is_room(self, tmp_path):
        manager = resources(tmp_path, room("cuda:0", 11.0, 11.5, ("chat",)))
        assert (await manager.preflight({"model_type": "sdxl"})).leaving == ()

    async def test_without_a_card_small_pictures_are_made_on_the_cpu(self, tmp_path):
        found = await resources(tmp_path).preflight({"model_type": "sd-1.5"})
        assert (found.verdict, found.device) == ("ready", "cpu")
        assert found.requirement.vram_bytes == 0

    async def test_without_a_card_a_video_is_refused_with_what_it_needs(self, tmp_path):
        found = await resources(tmp_path).preflight({"model_type": "t2v"})
        assert not found.may_run
        assert "needs a GPU with 85.0 GiB" in found.text

    async def test_figures_that_are_too_old_host_nothing(self, tmp_path):
        found = await resources(tmp_path, room("cuda:0", None)).preflight({"model_type": "t2v"})
        assert not found.may_run


class TestLearning:
    async def test_what_a_run_took_is_kept_over_a_restart(self, tmp_path):
        name = "NVIDIA GeForce RTX 4070"
        file = tmp_path / RUNS_FILE
        async with Runs.open(file) as runs:
            manager = resources(tmp_path, room(), runs=runs)
            before = manager.estimate_resource_requirements("sdxl")
            await manager.record_run(
                {"model_type": "sdxl"}, device_name=name, took_s=2 * before.estimated_time_seconds,
                peak_bytes=before.vram_bytes + GIB,
            )  # fmt: skip
        async with Runs.open(file) as runs:
            after = resources(tmp_path, room(), runs=runs).estimate_resource_requirements("sdxl")
        assert after.vram_bytes == pytest.approx(before.vram_bytes + GIB, abs=2)
        assert after.estimated_time_seconds == pytest.approx(2 * before.estimated_time_seconds)
        assert after.time_source.endswith("corrected by 1 measured run")

    async def test_one_low_reading_does_not_lower_an_estimate(self, tmp_path):
        async with Runs.open(tmp_path / RUNS_FILE) as runs:
            manager = resources(tmp_path, room(), runs=runs)
            before = manager.estimate_resource_requirements("sdxl").vram_bytes
            run = {"device_name": "NVIDIA GeForce RTX 4070", "peak_bytes": before // 2}
            await manager.record_run({"model_type": "sdxl"}, **run)
            assert manager.estimate_resource_requirements("sdxl").vram_bytes == before
            for _ in range(2):
                await manager.record_run({"model_type": "sdxl"}, **run)
            assert manager.estimate_resource_requirements("sdxl").vram_bytes < before

    async def test_runs_are_bounded_and_other_cards_have_their_own(self, tmp_path):
        async with Runs.open(tmp_path / RUNS_FILE) as runs:
            manager = resources(tmp_path, room(), runs=runs)
            for _ in range(20):
                await manager.record_run({"model_type": "sdxl"}, device_name="RTX 4070", took_s=5.0)
            rows = await runs._database.read("SELECT COUNT(*) FROM runs")
            assert rows[0][0] == runs.learned("sdxl", "RTX 4070").runs == 8
            assert runs.learned("sdxl", "RTX 4090").runs == 0

    async def test_a_damaged_file_begins_anew(self, tmp_path):
        file = tmp_path / RUNS_FILE
        file.write_bytes(b"no database at all" * 100)
        async with Runs.open(file) as runs:
            assert runs.learned("sdxl", "any").runs == 0


class TestStatus:
    def test_vram_ram_cpu_and_disk_are_told(self, tmp_path):
        memory = measured(gpu(0, 9.0), cpu(20.0))
        kept = {"cached_bytes": lambda: {"GPU-0": 5 * MIB}}
        now = resources(tmp_path, room("cuda:0", 8.0), memory=memory, **kept).status()
        card = now.cards[0]
        assert (card.cached_bytes, card.driver_bytes) == (5 * MIB, 0)
        assert (card.free_bytes, card.allocated_bytes, card.room_bytes) == (
            9 * GIB,
            3 * GIB,
            8 * GIB,
        )
        assert (now.ram_total_bytes, now.ram_available_bytes) == (32 * GIB, 20 * GIB)
        assert now.disk_free_bytes > 0
        assert now.cpu_count >= 1
        assert now.at == NOON

    def test_a_folder_that_is_not_there_yet_has_the_disk_that_it_will_be_on(self, tmp_path):
        now = resources(tmp_path / "a" / "b").status()
        assert now.disk_total_bytes > 0

    def test_unknown_is_none_and_not_zero(self, tmp_path):
        now = resources(tmp_path, memory=measured(gpu(0, None))).status()
        assert now.cards[0].free_bytes is None
        assert now.cards[0].cached_bytes is None
        assert now.cards[0].driver_bytes is None
        assert now.ram_available_bytes is None

    def test_the_monitor_fills_a_bounded_history(self, tmp_path):
        manager = resources(tmp_path, memory=measured(cpu()))
        for _ in range(KEPT_READINGS + 5):
            assert [o.level for o in manager.observe()] == [Level.NORMAL]
        assert len(manager.history) == KEPT_READINGS

    def test_what_allocators_keep_unused_is_added_up_by_device(self):
        views = (
            AllocatorView("a", "GPU-0", 1, reserved_bytes=50, allocated_bytes=20),
            AllocatorView("b", "GPU-0", 1, reserved_bytes=9, allocated_bytes=9),
            AllocatorView("c", "cpu", 1),
        )
        assert cached_by_device(views) == {"GPU-0": 30}

    def test_the_tightest_moments_of_the_history_are_kept_apart(self, tmp_path):
        machine = Machine()
        manager = resources(tmp_path, machine=machine)
        for gpu_gib, ram_gib in ((9.0, 5.0), (2.0, 20.0), (None, 9.0)):
            machine.measured = measured(gpu(0, gpu_gib), cpu(ram_gib))
            list(manager.observe())
        least = lows(manager.history)
        assert (least.readings, least.since) == (3, NOON)
        assert least.free_bytes == {"cuda:0": 2 * GIB}
        assert least.ram_available_bytes == 5 * GIB
        assert lows(()).ram_available_bytes is None

    def test_a_full_disk_is_a_trouble_that_says_what_to_do(self, tmp_path):
        profiles = PROFILES.model_copy(update={"common": LOW_DISK})
        (seen,) = resources(tmp_path, profiles=profiles).observe()
        assert seen.level is Level.WARNING
        assert "Delete what is not needed" in seen.text

    def test_capabilities_follow_the_card_and_are_unknown_for_an_unknown_one(self, tmp_path):
        cards = room("cuda:0", name="NVIDIA GeForce RTX 3060"), room("cuda:1", name="Foo 9")
        ampere, unknown = resources(tmp_path, *cards).get_hardware_capabilities().cards
        assert (ampere.bf16, ampere.fp8, ampere.flash_attention) == (True, False, True)
        assert (unknown.compute_capability, unknown.bf16, unknown.fp8) == (None, None, None)


class TestCleanup:
    async def test_workers_and_the_bot_report_what_they_gave_back(self, tmp_path):
        asked = []

        async def trim(level):
            asked.append(level)
            return TrimReport((
                TrimRow("vision", "GPU-cuda:0", level, freed_bytes=300 * MIB),
                TrimRow("chat", "GPU-cuda:0", level, error="the worker did not answer"),
                TrimRow("text", "cpu", level, freed_bytes=None),
            ))  # fmt: skip

        manager = resources(tmp_path, room("cuda:0"), trim=trim)
        normal, aggressive = await manager.cleanup(), await manager.cleanup_aggressive()
        assert asked == [TrimLevel.GENTLE, TrimLevel.AGGRESSIVE]
        assert (normal.aggressive, aggressive.aggressive) == (False, True)
        assert normal.freed_bytes["cuda:0"] == 300 * MIB
        assert [row.process for row in normal.rows] == ["vision", "chat", "text", "bot"]
        assert normal.rows[1].error == "the worker did not answer"
        assert isinstance(normal.rows[-1].freed_bytes, int)

    async def test_what_a_simulated_cards_worker_frees_is_ram_and_is_told_so(self, tmp_path):
        async def trim(level):
            return TrimReport((TrimRow("vision", "GPU-cuda:0", level, freed_bytes=9 * MIB),))

        card = replace(room("cuda:0"), simulated=True)
        report = await resources(tmp_path, card, trim=trim).cleanup()
        assert (report.rows[0].device, report.rows[0].memory) == ("cuda:0 (simulated)", "cpu")
        assert "cuda:0" not in report.freed_bytes

    async def test_garbage_of_the_bot_itself_is_really_given_back(self, tmp_path):
        class Ring:
            def __init__(self):
                self.me = self
                self.load = b"x" * (64 * MIB)

        manager = resources(tmp_path)
        gc.disable()  # or it would come before the cleanup, now and then
        try:
            await asyncio.to_thread(Ring)
            report = await manager.cleanup_aggressive()
        finally:
            gc.enable()
        assert report.rows[-1].freed_bytes > 32 * MIB


class TestLiveMachine:
    """The book, the margins and what is idle, as the planner counts them."""

    def figures(self, *snapshots, stale_age_s=None):
        class Figures:
            def devices(self):
                return devices

        Figures.stale_age_s = stale_age_s
        ledger = Ledger()
        lease = ledger.commit(ledger.claim("chat", "chat", "GPU-0", 6 * GIB).lease_id, None)
        devices = tuple(describe_memory(s, ledger, frozenset()) for s in snapshots)
        assert isinstance(lease, Lease)
        assert lease.state is LeaseState.RESIDENT
        return Figures(), ledger

    def model(self, **more):
        class View:
            name, is_loaded, in_flight, waiting, pinned, protected = (
                "chat",
                True,
                0,
                0,
                False,
                False,
            )

        for key, value in more.items():
            setattr(View, key, value)
        return View()

    def test_an_idle_model_counts_as_room_to_be_made(self):
        figures, ledger = self.figures(gpu(0, 4.0), cpu(20.0))
        machine = LiveMachine(figures, ledger, lambda: (self.model(),))
        (card,) = machine.cards()
        assert (card.room_bytes, card.after_idle_bytes, card.idle) == (4 * GIB, 10 * GIB, ("chat",))
        assert machine.host().room_bytes == 20 * GIB

    @pytest.mark.parametrize("state", ["in_flight", "waiting", "pinned", "protected"])
    def test_a_model_that_is_held_on_to_does_not(self, state):
        figures, ledger = self.figures(gpu(0, 4.0))
        machine = LiveMachine(figures, ledger, lambda: (self.model(**{state: 1}),))
        (card,) = machine.cards()
        assert card.room_bytes == card.after_idle_bytes == 4 * GIB
        assert card.idle == ()

    def test_old_figures_are_unknown(self):
        figures, ledger = self.figures(gpu(0, 4.0), stale_age_s=99.0)
        (card,) = LiveMachine(figures, ledger).cards()
        assert card.room_bytes is card.after_idle_bytes is None
