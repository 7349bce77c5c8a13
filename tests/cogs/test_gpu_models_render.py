"""What Discord shows of models, as text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cogs.gpu_models_render import (
    LONGEST_TEXT,
    render_history,
    render_models,
    render_plan,
    render_reservations,
    render_why,
)
from danzar.broker.decision import DecisionKind, make_decision, unload_kind
from danzar.broker.reservations import Asked
from danzar.core.book import Book
from danzar.core.instance import InstanceState
from danzar.core.leaving import UnloadCause
from danzar.core.placement import plan_placement
from danzar.core.plan import Demand, PlanInputs, PlanRules
from danzar.core.variant import LayerShape, Rung, Variant
from danzar.errors import ModelMissing
from danzar.explain.model_text import amount, find_model
from danzar.explain.plan_explain import explain
from danzar.units import GIB, MIB
from tests.core.worlds import gpu, host
from tests.explain.worlds import plan_inputs
from tests.local.panel_status import DECISIONS, VIEWS, share, view


def explained(*devices, variants, **demand):
    asked = Demand("chat", "chat", variants, 0, 0, tuple(d.uuid for d in devices), **demand)
    inputs = PlanInputs(asked, devices, Book(), (), PlanRules(), 10.0)
    return explain(inputs, plan_placement(inputs)), inputs


def full(gib, **changes):
    return Variant(Rung.FULL, round(gib * GIB), round(gib * GIB), **changes)


# --- models ----------------------------------------------------------------------------------


def test_a_degraded_pinned_model_says_all_of_it():
    text = render_models(VIEWS[:1])
    assert text.splitlines() == [
        "🟢 **qwen2.5-7b-instruct** (chat) ready on cuda:0 (simulated)",
        "-# 📦 4.8GB on cuda:0, measured; 5.0GB were estimated · with less context",
        "-# ⏱️ 1 running · 2 waiting · reload 9.4 s · wanted within 2 min: 35 %",
        "-# 📌 pinned, protected from other programs",
        (
            "-# ⚠️ qwen2.5-7b-instruct runs on cuda:0 with 2048 instead of 8192 tokens of context: "
            "6.2GB are needed, cuda:0 has room for 5.4GB."
        ),
    ]


def test_a_divided_model_shows_its_layers_and_all_its_cards():
    shares = (
        share("cuda:0", 4 * GIB, 4 * GIB, layers=20),
        share("cuda:1", 3 * GIB, 3 * GIB, layers=13),
        share("cpu", GIB, GIB),
    )
    text = render_models([view("big", state=InstanceState.READY, shares=shares, rung=Rung.SPLIT)])
    assert "ready on cuda:0 + cuda:1 (simulated), layers: cuda:0 20, cuda:1 13" in text
    assert "4.0GB on cuda:0 + 3.0GB on cuda:1 (and 1.0GB of host RAM), as estimated" in text


def test_a_failed_model_says_why_and_when_it_is_tried_again():
    failed = view("sd", state=InstanceState.FAILED, last_error="damaged", retry_in_s=12.0)
    assert "🔴 **sd** (chat) failed: damaged; next try in 12 s" in render_models([failed])


def test_hundreds_of_models_are_one_valid_message_and_the_rest_is_counted():
    text = render_models([view(f"model-{n}") for n in range(300)])
    assert len(text) <= LONGEST_TEXT
    assert text.splitlines()[-1].startswith("… and ")


# --- plans -----------------------------------------------------------------------------------


def test_why_lists_the_ways_in_their_order_with_what_was_missing():
    small = Variant(Rung.CONTEXT, 3 * GIB, 3 * GIB, loss="with 2048 instead of 8192 tokens")
    told, inputs = explained(gpu(0, 4.0), gpu(1, 2.0), variants=(full(9.0), small))
    title, text = render_why(told, inputs, 75.0)
    assert title == "🔎 chat runs on cuda:0 (simulated) with less context"
    assert "decided 1 min 15 s ago · simulated: cuda:0, cuda:1" in text
    assert text.split("**What was weighed, best first**\n")[1].splitlines() == [
        "*as configured*",
        "❌ `cuda:0` 9.0GB needed, room for 4.0GB: short by 5.0GB",
        "❌ `cuda:1` 9.0GB needed, room for 2.0GB: short by 7.0GB",
        "*with 2048 instead of 8192 tokens*",
        "✅ `cuda:0` 3.0GB needed, room for 4.0GB **← taken**",
        "❌ `cuda:1` 3.0GB needed, room for 2.0GB: short by 1.0GB",
    ]


def test_a_split_and_a_refusal_are_told():
    shape = LayerShape(10, GIB, 0)
    told, inputs = explained(gpu(0, 6.0), gpu(1, 5.0), variants=(full(10.0, layers=shape),))
    title, text = render_plan(told, inputs)
    assert title == ("🧮 chat would run on cuda:0 + cuda:1 (simulated) divided over several cards")
    assert "`cuda:0 + cuda:1` 10.0GB needed, room for 11.0GB **← taken**" in text
    told, inputs = explained(gpu(0, 1.0), variants=(full(10.0),), allow_cpu=False)
    title, text = render_plan(told, inputs)
    assert title == "🧮 chat would be refused"
    assert text.startswith("chat needs 10.0GB on a GPU")


def test_sixty_four_cards_are_one_valid_message_with_the_taken_one_in_it():
    cards = [gpu(n, 1.0) for n in range(63)] + [gpu(63, 12.0)]
    told, inputs = explained(*cards, host(), variants=(full(9.0),))
    _, text = render_plan(told, inputs)
    assert len(text) <= LONGEST_TEXT
    assert "`cuda:63` 9.0GB needed, room for 12.0GB **← taken**" in text
    assert "… and 60 more devices" in text


@given(plan_inputs())
def test_every_plan_is_a_valid_message(world):
    told = explain(world, plan_placement(world))
    for title, text in (render_why(told, world, 1.0), render_plan(told, world)):
        assert 0 < len(title) <= 256
        assert 0 < len(text) <= LONGEST_TEXT


# --- history ---------------------------------------------------------------------------------


def test_history_shows_kind_model_device_and_reason_and_disarms_other_programs_names():
    text = render_history(DECISIONS)
    assert text.splitlines()[0].startswith("❌ <t:")
    assert "♻️" in text
    assert "🎮" in text
    evil = make_decision(1.0, DecisionKind.YIELD, "yolo", "makes way for **@everyone**", "cuda:0")
    assert "@everyone" not in render_history([evil])
    assert "**@" not in render_history([evil])


@pytest.mark.parametrize(
    ("cause", "kind"),
    [
        (UnloadCause.ROOM, DecisionKind.EVICT),
        (UnloadCause.OTHER_PROGRAMS, DecisionKind.YIELD),
        (UnloadCause.IDLE, DecisionKind.UNLOAD),
        (UnloadCause.ASKED, DecisionKind.UNLOAD),
    ],
)
def test_an_unload_is_what_its_cause_says(cause, kind):
    assert unload_kind(cause) is kind


def test_reservations_name_who_asked_and_disarm_the_name():
    row = Asked("GPU-0", "games", 2 * GIB, "**ann** @here", 100.0)
    text = render_reservations([("cuda:0", "chat", "8.0GB")], [("cuda:0", row)], "!")
    assert "⚙️ `cuda:0` 8.0GB for chat, as configured" in text
    assert "@here" not in text
    assert "<t:100:R>" in text


# --- names and sizes -------------------------------------------------------------------------


def test_a_model_is_found_whatever_its_case_and_blanks():
    assert find_model("  Yolo-NANO ", ["yolo-nano", "clip"]) == "yolo-nano"


@pytest.mark.parametrize("typed", ["", "@everyone", "`x`", "a" * 5000, "<@1>", "\u202e\nx"])
def test_an_unknown_name_is_repeated_harmlessly(typed):
    with pytest.raises(ModelMissing) as raised:
        find_model(typed, ["yolo"])
    assert len(str(raised.value)) < 120
    assert not set("@`<>\n\u202e") & set(str(raised.value))


@given(st.integers(0, 200 * GIB))
def test_an_amount_is_short_and_never_zero_for_a_mebibyte(size_bytes):
    text = amount(size_bytes)
    assert len(text) <= 8
    if size_bytes >= MIB:
        assert float(text.rstrip("GMB")) > 0


@pytest.mark.parametrize("kind", DecisionKind)
def test_every_kind_of_step_can_be_shown(kind):
    step = make_decision(1.0, kind, "yolo", "because", "cuda:0")
    assert "**yolo**" in render_history((step,))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        pytest.param({}, "load 9.4 s ·", id="measured, cold"),
        pytest.param({"reload_warm": True}, "load 9.4 s (warm) ·", id="warm"),
        pytest.param(
            {"reload_warm": True, "standby": True}, "load 9.4 s (warm, standby) ·", id="a standby"
        ),
        pytest.param(
            {"reload_measured": False}, "load about 9.4 s (estimated) ·", id="an estimate says so"
        ),
    ],
)
def test_a_model_says_what_a_load_takes_and_why_so_little(changes, text):
    assert text in render_models([view("clip", **changes)])
