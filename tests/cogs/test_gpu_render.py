from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from cogs.gpu_render import (
    LONGEST_TEXT,
    STATUS_TITLE,
    VISION_TITLE,
    render_device,
    render_device_line,
    render_monitor,
    render_status,
    render_vision,
)
from danzar.core.device import ProcessUse
from danzar.core.vision_device import choose_vision_device
from tests.gpu_memory.cards import SEED_RULES, cpu, gib, gpu, memories, seed_ledger

WELL = ["All GPU devices have adequate memory"]


def quiet(snapshot):
    """A device as the seed shows it: nothing but its memory is known."""
    return replace(snapshot, utilisation_pct=None, temperature_c=None)


def test_the_seeds_sample_is_shown_field_by_field():
    processes = (ProcessUse(5, "worker", gib(1.8)),)
    ledger = seed_ledger(vision_gib=1.8)
    super_card = gpu(1, 9.9, name="NVIDIA GeForce RTX 4070 Super", processes=processes)
    (device,) = memories(quiet(super_card), ledger=ledger, own_pids=(5,))
    text = f"{STATUS_TITLE}\n\n{render_status([device], WELL)}"
    assert text == (
        "🎯 GPU Memory Status:\n"
        "\n"
        "Device 1 (RTX 4070 Super):\n"
        "  📊 Allocated: 1.8GB\n"
        "  📊 Reserved: 2.1GB\n"
        "  📊 Free: 9.9GB\n"
        "  📊 Total: 12.0GB\n"
        "  📊 Utilization: 17.5%\n"
        "  🤖 Danzar: vision 1.8GB (resident)\n"
        "  🎮 Others: 0.3GB (driver and unlisted)\n"
        "\n"
        "💡 Recommendations:\n"
        "  • All GPU devices have adequate memory"
    )


def test_a_block_also_tells_reservation_others_and_activity():
    game = (ProcessUse(812, "game.exe", gib(2)), ProcessUse(9, None, None))
    (device,) = memories(
        gpu(0, 4.0, processes=game, simulated=True), ledger=seed_ledger(chat_gib=6.0)
    )
    lines = render_device(device).splitlines()
    assert lines[0] == "Device 0 (RTX 4070, simulated):"
    assert lines[6:] == [
        "  🔒 Kept for main LLM: 8.0GB (6.0GB taken)",
        "  🤖 Danzar: chat 6.0GB (resident)",
        "  🎮 Others: 2.0GB (game.exe (pid 812) 2.0GB, pid 9 unknown)",
        "  ⚡ 12% busy, 61 °C",
    ]


def test_many_programs_are_counted_and_not_listed():
    many = tuple(ProcessUse(pid, f"p{pid}", gib(1)) for pid in range(1, 8))
    (device,) = memories(gpu(0, 4.0, processes=many))
    assert "4 more" in render_device(device)


def test_unknown_figures_are_called_unknown():
    (device,) = memories(quiet(gpu(1, None)))
    assert render_device(device).splitlines()[1:] == [
        "  📊 Allocated: unknown",
        "  📊 Reserved: unknown",
        "  📊 Free: unknown",
        "  📊 Total: 12.0GB",
        "  📊 Utilization: unknown",
    ]


def test_stale_figures_show_their_age_first():
    text = render_status(memories(gpu(0, 4.9)), WELL, 125.0)
    assert text.startswith("⚠️ The driver is silent: these figures are 2 min 5 s old\n\nDevice 0")
    assert render_status((), WELL, float("inf")).startswith("⚠️ No figures have come")


def test_sixty_four_devices_fit_into_one_message_with_a_line_each():
    devices = memories(*(gpu(i, 4.0, simulated=True, name="NVIDIA " + "X" * 80) for i in range(64)))
    text = render_status(devices, WELL)
    assert len(text) <= LONGEST_TEXT
    rows = [line for line in text.splitlines() if "free" in line]
    assert len(rows) == 64
    assert max(map(len, rows)) <= 60
    assert rows[63].startswith("63 ")


@given(
    st.lists(
        st.tuples(st.none() | st.floats(0, 12), st.text(max_size=200), st.booleans()), max_size=64
    ),
    st.lists(st.text(max_size=500), min_size=1, max_size=64),
)
def test_no_world_exceeds_discords_limit(cards, advice):
    devices = memories(
        *(
            gpu(i, free, name=name, simulated=sim, processes=(ProcessUse(1, name, 5),))
            for i, (free, name, sim) in enumerate(cards)
        )
    )
    assert len(render_status(devices, advice, 99.0)) <= LONGEST_TEXT
    assert len(render_vision(choose_vision_device(devices, SEED_RULES), devices)) <= LONGEST_TEXT


def test_host_ram_is_no_gpu():
    assert "CPU" not in render_status(memories(gpu(0, 4.9), cpu()), WELL)


def test_a_line_has_a_bar():
    (device,) = memories(gpu(0, 3.0))
    assert render_device_line(device) == "0 RTX 4070 ██████░░ 75% · 3.0GB free"
    (unknown,) = memories(gpu(0, None))
    assert "????????" in render_device_line(unknown)


def test_the_best_vision_device_is_told_in_the_seeds_words():
    devices = memories(gpu(1, 9.9, name="NVIDIA GeForce RTX 4070 Super"))
    assert VISION_TITLE == "👁️ Best Vision Device:"
    assert render_vision(choose_vision_device(devices, SEED_RULES), devices) == (
        "Device: cuda:1\nReason: Device 1 (RTX 4070 Super) available with 9.9GB free"
    )


def test_a_reserved_device_is_explained_as_normal():
    devices = memories(gpu(0, 8.5), gpu(1, 9.9, simulated=True))
    text = render_vision(choose_vision_device(devices, SEED_RULES), devices)
    assert text.startswith("Device: cuda:1 (simulated)\n")
    assert "❌ Device 0 reserved for main LLM: of 8.5GB free" in text
    assert "This is normal" in text


def test_full_gpus_are_explained_with_what_to_do():
    devices = memories(gpu(0, 0.5), gpu(1, 0.5), cpu())
    text = render_vision(choose_vision_device(devices, SEED_RULES), devices)
    assert text.startswith("Device: cpu\nReason: No GPU devices available with sufficient memory\n")
    assert "restart the application" in text


def test_without_a_device_it_says_none():
    devices = memories(gpu(0, 0.5))
    rules = replace(SEED_RULES, fallback_to_cpu=False)
    text = render_vision(choose_vision_device(devices, rules), devices)
    assert text.startswith("Device: none\n")


def test_the_switch_says_what_will_happen():
    on = render_monitor(enabled=True, interval_s=30.0, warning_pct=90.0, alert_channel="alerts")
    assert on == (
        "▶️ GPU memory monitoring is on: a check every 30 s, alerts above 90% (they go to #alerts)."
    )
    silent = render_monitor(enabled=True, interval_s=2.5, warning_pct=90.0, alert_channel=None)
    assert "every 2.5 s" in silent
    assert "the log only" in silent
    off = render_monitor(enabled=False, interval_s=30.0, warning_pct=90.0, alert_channel="alerts")
    assert off.startswith("⏹️ GPU memory monitoring is off.")


def test_what_host_ram_keeps_warm_is_told_after_the_gpus():
    ledger = seed_ledger()
    lease = ledger.claim("clip", "warm", "cpu", gib(0.5))
    ledger.commit(lease.lease_id, None)
    text = render_status(memories(gpu(0, 9.0), cpu(), ledger=ledger), WELL)

    assert "Kept warm in host RAM: clip 512MB; it leaves at once when memory is needed" in text
    assert text.index("Kept warm") < text.index("Recommendations")


def test_where_nothing_is_kept_nothing_is_said_of_it():
    assert "warm" not in render_status(memories(gpu(0, 9.0), cpu()), WELL)
