import logging
from pathlib import Path

import pytest

from danzar.config.settings import Config
from danzar.core.device import ProcessUse
from danzar.core.pressure import PressureRules
from danzar.gpu_memory import GpuMemoryManager, MemoryRules
from danzar.telemetry.sampler import Reading, Sampler
from danzar.telemetry.simulated import SimulatedCards
from danzar.units import GIB
from tests.gpu_memory.cards import SEED_RULES, FixedFigures, cpu, gib, gpu, seed_ledger

RULES = MemoryRules(SEED_RULES, PressureRules(90.0, 85.0, gib(1)))


def manager(figures, ledger=None, **options):
    return GpuMemoryManager(figures, ledger or seed_ledger(), RULES, now_s=lambda: 45.0, **options)


@pytest.fixture
def seed_cards():
    return FixedFigures(gpu(0, 4.9), gpu(1, 9.9), cpu())


def test_the_seeds_five_calls_answer(seed_cards):
    gpu_mm = manager(seed_cards, seed_ledger(chat_gib=7.1, vision_gib=1.8))
    info = gpu_mm.get_all_devices_memory_info()
    assert list(info) == ["cuda:0", "cuda:1", "cpu"]
    assert info["cuda:1"].free_bytes == gib(9.9)
    device, reason = gpu_mm.get_best_vision_device()
    assert device == "cuda:1"
    assert reason == "Device 1 (RTX 4070 SUPER) available with 9.9GB free"
    can_use, reason = gpu_mm.can_use_device_for_vision(1)
    assert can_use
    assert reason == "Device 1 (RTX 4070 SUPER) available with 9.9GB free"
    assert gpu_mm.get_memory_recommendations() == ["All GPU devices have adequate memory"]


@pytest.mark.parametrize("device_id", [0, "cuda:0", "GPU-0"])
def test_a_device_may_be_asked_for_by_number_label_or_uuid(seed_cards, device_id):
    can_use, reason = manager(seed_cards).can_use_device_for_vision(device_id)
    assert not can_use
    assert reason.startswith("Device 0 reserved for main LLM")


def test_an_unknown_device_is_named_with_those_that_there_are(seed_cards):
    can_use, reason = manager(seed_cards).can_use_device_for_vision(7)
    assert not can_use
    assert reason == "There is no device cuda:7; known: cuda:0, cuda:1, cpu"


def test_the_cpu_may_be_used_when_fallback_is_on(seed_cards):
    assert manager(seed_cards).can_use_device_for_vision("cpu") == (True, "fallback_to_cpu is on")


@pytest.mark.parametrize(
    ("required_mb", "available"),
    [pytest.param(6000, True, id="6 GB fit"), pytest.param(11000, False, id="11 GB do not")],
)
def test_room_can_be_asked_for_in_megabytes(seed_cards, required_mb, available):
    answer, message = manager(seed_cards).check_vram_availability(required_mb)
    assert answer is available
    assert message.startswith("cuda:1 has room for 9.9GB")


def test_room_that_is_kept_for_the_chat_model_is_not_offered():
    cards = FixedFigures(gpu(0, 10), cpu())
    answer, message = manager(cards).check_vram_availability(4096)
    assert not answer
    assert message == "cuda:0 has room for 2.0GB, 4.0GB are needed"


def test_other_processes_count_whatever_danzar_holds():
    processes = (ProcessUse(5, "danzar", gib(2)), ProcessUse(6, "game.exe", gib(4)))
    gpu_mm = manager(FixedFigures(gpu(0, 6.0, processes=processes)), own_pids=lambda: {5})
    device = gpu_mm.get_all_devices_memory_info()["cuda:0"]
    assert device.foreign_bytes == gib(4)
    assert [p.name for p in device.foreign] == ["game.exe"]


def test_stale_figures_host_nothing_and_say_how_old_they_are(seed_cards):
    seed_cards.fall_silent()
    gpu_mm = manager(seed_cards)
    assert gpu_mm.stale_age_s == 45.0
    assert gpu_mm.get_best_vision_device() == (
        "cpu",
        "No GPU devices available with sufficient memory",
    )
    # What was last seen is still shown.
    assert gpu_mm.get_all_devices_memory_info()["cuda:1"].free_bytes == gib(9.9)


def test_before_the_first_figures_vision_goes_to_the_cpu():
    figures = FixedFigures()
    figures.reading, figures.is_stale = Reading(), True
    gpu_mm = manager(figures)
    assert gpu_mm.get_best_vision_device()[0] == "cpu"
    assert gpu_mm.stale_age_s == float("inf")
    assert gpu_mm.get_all_devices_memory_info() == {}


def test_the_log_has_a_line_per_device_with_its_peak(seed_cards, caplog):
    seed_cards.past["GPU-1"] = (
        gpu(1, 3.0, sampled_at_s=0.0),
        gpu(1, None, sampled_at_s=300.0),
        gpu(1, 9.9, sampled_at_s=600.0),
    )
    with caplog.at_level(logging.INFO, logger="danzar.gpu_memory"):
        manager(seed_cards, seed_ledger(vision_gib=1.8)).log_memory_status()
    line = next(m for m in caplog.messages if "Device 1" in m)
    assert "free=9.9GB total=12.0GB utilization=17.5%" in line
    assert "leases=[vision 1.8GB resident] peak=9.0GB in 10 min" in line
    assert any("Device 0 (RTX 4070) " in m for m in caplog.messages)
    assert any("gpu memory: CPU " in m for m in caplog.messages)


def test_stale_figures_are_logged_as_such(seed_cards, caplog):
    seed_cards.fall_silent()
    with caplog.at_level(logging.INFO, logger="danzar.gpu_memory"):
        manager(seed_cards).log_memory_status()
    assert caplog.messages[0] == ("gpu memory: The driver is silent: these figures are 45 s old")


def test_the_rules_come_from_the_seeds_configuration():
    rules = MemoryRules.from_config(Config(root=Path()))
    assert rules.vision.vision_device == "cuda:1"
    assert rules.vision.memory_limit_bytes == 2 * GIB
    assert rules.vision.threshold_bytes == 1 * GIB
    assert rules.pressure == PressureRules(90.0, 85.0, 1 * GIB)


async def test_it_reads_the_real_sampler_over_simulated_cards():
    cards = SimulatedCards()
    sampler = Sampler(cards)
    await sampler.refresh()
    gpu_mm = GpuMemoryManager(sampler, seed_ledger(), RULES)
    before = gpu_mm.get_all_devices_memory_info()["cuda:1"]
    assert before.snapshot.simulated
    cards.set_foreign(cards.uuids[1], 812, "game.exe", gib(11.5))
    # Nothing is asked of the cards: the change shows with the next sample only.
    assert gpu_mm.get_all_devices_memory_info()["cuda:1"] == before
    await sampler.refresh()
    after = gpu_mm.get_all_devices_memory_info()["cuda:1"]
    assert after.free_bytes == before.free_bytes - gib(11.5)
    assert [p.name for p in after.foreign] == ["game.exe"]
