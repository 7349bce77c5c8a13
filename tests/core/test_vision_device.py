from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.core.book import Lease, LeaseState, Margins, Reservation
from danzar.core.device import DeviceKind
from danzar.core.device_memory import DeviceMemory
from danzar.core.ledger import Ledger
from danzar.core.vision_device import VisionRules, choose_vision_device, judge_device
from tests.gpu_memory.cards import SEED_RULES, cpu, gib, gpu, memories, seed_ledger


def test_the_seeds_own_example_gives_the_seeds_own_answer():
    super_card = gpu(1, 9.9, name="NVIDIA GeForce RTX 4070 Super")
    ledger = seed_ledger(chat_gib=7.1, vision_gib=1.8)
    choice = choose_vision_device(memories(gpu(0, 4.9), super_card, ledger=ledger), SEED_RULES)
    assert choice.label == "cuda:1"
    assert choice.device_uuid == "GPU-1"
    assert choice.reason == "Device 1 (RTX 4070 Super) available with 9.9GB free"


def test_the_llms_device_is_taken_when_its_reservation_stays_whole():
    devices = memories(gpu(0, 11.0), gpu(1, 0.5), cpu())
    choice = choose_vision_device(devices, SEED_RULES)
    assert choice.label == "cuda:0"
    assert choice.reason == (
        "Device 0 (RTX 4070) available with 11.0GB free, 8.0GB of it kept for main LLM"
    )
    refused = choice.considered[0]
    assert refused.reason == "Device 1 (RTX 4070 SUPER) has 0.5GB free, 1.0GB needed"
    assert not refused.usable


def test_the_llms_device_is_refused_when_its_reservation_would_break():
    choice = choose_vision_device(memories(gpu(0, 8.5), gpu(1, 0.5), cpu()), SEED_RULES)
    assert choice.label == "cpu"
    assert choice.reason == "No GPU devices available with sufficient memory"
    assert choice.considered[1].reason == (
        "Device 0 reserved for main LLM: of 8.5GB free, 8.0GB are kept, "
        "which leaves 0.5GB of 1.0GB needed"
    )


def test_what_the_chat_model_already_holds_counts_towards_its_reservation():
    ledger = seed_ledger(chat_gib=7.0)
    choice = choose_vision_device(memories(gpu(0, 2.5), gpu(1, 0.5), ledger=ledger), SEED_RULES)
    assert choice.label == "cuda:0"


def test_a_load_in_flight_on_the_llms_device_is_not_counted_as_free():
    ledger = seed_ledger()
    ledger.claim("chat", "chat", "GPU-0", gib(8))
    choice = choose_vision_device(memories(gpu(0, 8.5), gpu(1, 0.5), ledger=ledger), SEED_RULES)
    assert choice.label == "cpu"
    assert choice.considered[1].reason == (
        "Device 0 (RTX 4070) has loads in flight that take its free memory"
    )


def test_among_other_gpus_the_most_free_is_tried_first():
    devices = memories(gpu(0, 8.0), gpu(1, 0.2), gpu(2, 3.0), gpu(3, 6.0), gpu(4, 6.0))
    choice = choose_vision_device(devices, SEED_RULES)
    assert choice.label == "cuda:3"
    assert [c.label for c in choice.considered] == [
        "cuda:1",
        "cuda:0",
        "cuda:3",
        "cuda:4",
        "cuda:2",
    ]


def test_a_gpu_that_does_not_say_what_is_free_never_hosts():
    choice = choose_vision_device(memories(gpu(0, None), gpu(1, None), cpu()), SEED_RULES)
    assert choice.label == "cpu"
    assert "does not say how much memory is free" in choice.considered[0].reason


def test_without_fallback_there_is_no_device_and_the_reason_says_why():
    rules = replace(SEED_RULES, fallback_to_cpu=False)
    choice = choose_vision_device(memories(gpu(0, 0.1), gpu(1, 0.1), cpu()), rules)
    assert choice.device_uuid is None
    assert choice.label is None
    assert choice.reason == (
        "No GPU devices available with sufficient memory, and fallback_to_cpu is off"
    )


def test_a_model_that_does_not_fit_in_host_ram_gets_no_device():
    choice = choose_vision_device(memories(cpu(1.0)), SEED_RULES, needed_bytes=gib(1.5))
    assert choice.device_uuid is None
    assert choice.reason.endswith("the CPU has 1.0GB free, 1.5GB needed")


def test_without_any_device_vision_goes_to_the_cpu():
    assert choose_vision_device((), SEED_RULES).label == "cpu"


def test_vision_that_is_set_to_the_cpu_looks_at_no_gpu():
    choice = choose_vision_device(
        memories(gpu(0, 12.0), gpu(1, 12.0)), replace(SEED_RULES, vision_device="cpu")
    )
    assert (choice.label, choice.considered) == ("cpu", ())


def test_the_vision_device_may_be_named_by_its_uuid():
    devices = memories(gpu(0, 12.0), gpu(1, 12.0), gpu(2, 12.0))
    choice = choose_vision_device(devices, replace(SEED_RULES, vision_device="GPU-2"))
    assert choice.label == "cuda:2"


def test_on_a_single_gpu_the_reservation_still_holds():
    rules = replace(SEED_RULES, vision_device="cuda:0")
    (device,) = memories(gpu(0, 8.5))
    verdict = judge_device(device, rules)
    assert not verdict.usable
    assert verdict.reason.startswith("Device 0 reserved for main LLM")


@pytest.mark.parametrize(
    ("held_gib", "needed_gib", "label"),
    [
        pytest.param(1.8, 0.0, "cuda:1", id="what is there may stay"),
        pytest.param(1.8, 0.2, "cuda:1", id="exactly the limit"),
        pytest.param(1.8, 0.4, "cuda:0", id="over the limit goes elsewhere"),
    ],
)
def test_the_vision_limit_binds_on_each_device(held_gib, needed_gib, label):
    devices = memories(gpu(0, 12.0), gpu(1, 9.9), ledger=seed_ledger(vision_gib=held_gib))
    # The limit is raised by one byte of rounding.
    rules = replace(SEED_RULES, memory_limit_bytes=gib(1.8) + gib(0.2))
    choice = choose_vision_device(devices, rules, needed_bytes=gib(needed_gib))
    assert choice.label == label


# --- properties ----------------------------------------------------------------------------

sizes = st.integers(0, gib(13))


@st.composite
def worlds(draw) -> tuple[tuple[DeviceMemory, ...], Ledger]:
    count = draw(st.integers(0, 64))
    frees = draw(st.lists(st.none() | sizes, min_size=count, max_size=count))
    cards = [
        replace(gpu(i, 0.0), free_bytes=free, used_bytes=None if free is None else gib(13) - free)
        for i, free in enumerate(frees)
    ]
    reserved = draw(st.dictionaries(st.integers(0, 63), sizes, max_size=4))
    ledger = Ledger(
        [Reservation(f"GPU-{i}", "chat", size) for i, size in reserved.items()],
        {"vision": SEED_RULES.memory_limit_bytes},
        Margins(cuda_bytes=0, host_bytes=0),
    )
    for index, purpose, state in draw(
        st.lists(
            st.tuples(
                st.integers(0, 5), st.sampled_from(["chat", "vision"]), st.sampled_from(LeaseState)
            ),
            max_size=6,
        )
    ):
        lease: Lease = ledger.claim("m", purpose, f"GPU-{index}", draw(st.integers(0, gib(3))))
        if state is not LeaseState.CLAIMED:
            ledger.commit(lease.lease_id, None)
        if state is LeaseState.RELEASING:
            ledger.begin_release(lease.lease_id)
    return memories(*cards, cpu(), ledger=ledger), ledger


@given(worlds(), st.sampled_from([0, 1, gib(0.5), gib(1.5), gib(3)]))
def test_what_is_chosen_the_ledger_would_grant(world, needed_bytes):
    devices, ledger = world
    choice = choose_vision_device(devices, SEED_RULES, needed_bytes=needed_bytes)
    chosen = next(d for d in devices if d.snapshot.uuid == choice.device_uuid)
    if chosen.snapshot.kind is DeviceKind.CPU:
        return
    headroom = ledger.room(chosen.snapshot).headroom_bytes("vision")
    assert headroom is not None
    assert headroom >= needed_bytes


@given(worlds())
def test_a_chosen_gpu_is_known_and_leaves_every_reservation_whole(world):
    devices, _ = world
    choice = choose_vision_device(devices, SEED_RULES)
    chosen = next(d for d in devices if d.snapshot.uuid == choice.device_uuid)
    if chosen.snapshot.kind is DeviceKind.CPU:
        return
    assert chosen.free_bytes is not None
    unfilled = sum(chosen.unfilled_bytes(r) for r in chosen.reservations)
    assert chosen.free_bytes - SEED_RULES.threshold_bytes >= unfilled


@given(worlds(), st.randoms(use_true_random=False))
def test_the_choice_does_not_depend_on_the_order_of_the_devices(world, random):
    devices, _ = world
    shuffled = list(devices)
    random.shuffle(shuffled)
    assert choose_vision_device(shuffled, SEED_RULES) == choose_vision_device(devices, SEED_RULES)


@given(worlds())
def test_every_gpu_gets_a_verdict_and_the_cpu_comes_only_after_all_said_no(world):
    devices, _ = world
    choice = choose_vision_device(devices, SEED_RULES)
    gpus = {d.snapshot.uuid for d in devices if d.snapshot.kind is DeviceKind.CUDA}
    assert {c.device_uuid for c in choice.considered} == gpus
    assert all(c.reason for c in choice.considered)
    assert (choice.device_uuid == "cpu") is not any(c.usable for c in choice.considered)


def test_the_rules_margin_is_left_free():
    rules: VisionRules = replace(SEED_RULES, margin_bytes=gib(0.25))
    (device,) = memories(gpu(1, 1.2))
    assert not judge_device(device, rules).usable
    assert judge_device(device, SEED_RULES).usable
