from danzar.core.device import ProcessUse
from danzar.core.pressure import PressureRules
from danzar.core.recommend import describe_pressure, recommend
from danzar.core.vision_device import choose_vision_device
from tests.gpu_memory.cards import SEED_RULES, cpu, gib, gpu, memories, seed_ledger

RULES = PressureRules(90.0, 85.0, gib(1))


def advice(*devices):
    return recommend(devices, RULES, choose_vision_device(devices, SEED_RULES))


def test_when_all_is_well_it_says_so_in_the_seeds_words():
    devices = memories(gpu(0, 4.9), gpu(1, 9.9), ledger=seed_ledger(chat_gib=7.1, vision_gib=1.8))
    assert advice(*devices) == ["All GPU devices have adequate memory"]


def test_a_full_card_names_the_program_that_holds_most():
    game = (ProcessUse(812, "game.exe", gib(10.5)), ProcessUse(9, "browser", gib(0.5)))
    lines = advice(*memories(gpu(0, 9.0), gpu(1, 0.5, processes=game), cpu()))
    assert lines[0] == (
        "Device 1 (RTX 4070 SUPER): 11.5GB of 12.0GB in use (95.8%), 0.5GB free; "
        "game.exe (pid 812) holds 10.5GB. Close game.exe (pid 812) or lower its graphics settings"
    )


def test_a_card_that_danzar_itself_filled_asks_for_a_smaller_model():
    devices = memories(gpu(0, 0.8), gpu(1, 9.0), ledger=seed_ledger(chat_gib=11.0))
    (line,) = advice(*devices)
    assert "Danzar's chat holds 11.0GB" in line
    assert "Choose a smaller model or a shorter context" in line


def test_a_reservation_that_can_not_be_filled_is_told_with_the_shortfall():
    game = (ProcessUse(812, "game.exe", gib(6)),)
    (line,) = advice(*memories(gpu(0, 5.5, processes=game), gpu(1, 9.0)))
    assert line == (
        "Device 0 (RTX 4070): the 8.0GB reservation for main LLM can't be filled: 0.0GB taken, "
        "5.5GB free, 2.5GB missing. Close game.exe (pid 812) or lower its graphics settings"
    )


def test_vision_on_the_cpu_is_explained():
    lines = advice(*memories(gpu(0, 8.5), gpu(1, 0.9), cpu()))
    assert lines[-1].startswith("No GPU devices available with sufficient memory for vision")


def test_unknown_figures_are_told_and_not_guessed():
    lines = advice(*memories(gpu(0, None), cpu()))
    assert lines[0] == (
        "Device 0 (RTX 4070) does not say how much memory is free, so no model is placed on it"
    )


def test_without_a_gpu_there_is_one_clear_line():
    (line,) = advice(*memories(cpu()))
    assert line.startswith("No GPU was found")


def test_a_full_card_without_a_culprit_is_described_without_one():
    (device,) = memories(gpu(0, 0.5))
    assert describe_pressure(device) == (
        "Device 0 (RTX 4070): 11.5GB of 12.0GB in use (95.8%), 0.5GB free"
    )
