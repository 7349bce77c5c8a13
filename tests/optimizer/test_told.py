"""What people read: in the terminal and in Discord."""

from dataclasses import replace

import pytest
from rich.console import Console

from cogs.gpu_optimizer_render import render_audit, render_batches, render_result
from danzar.commands.optimizer_print import print_bench, print_history, print_status
from danzar.optimizer.bench_result import (
    BenchResult,
    Tally,
    bench_text,
    judge_choice,
    sizes_to_try,
)
from danzar.optimizer.serve import to_json
from danzar.store import AuditEntry
from tests.optimizer.rig import make_rig


def printed(show, *arguments) -> str:
    screen = Console(width=200, markup=False, highlight=False)
    with screen.capture() as captured:
        show(*arguments, screen)
    return captured.get()


async def test_the_status_shows_cards_batches_and_what_was_done_last() -> None:
    rig = make_rig()
    await rig.optimizer.optimize_memory()

    text = printed(print_status, to_json(rig.optimizer.status()))

    assert text.startswith("Optimizer on, monitoring on, strategy balanced, batch 8\n")
    assert "RTX 4070 (simulated)" in text
    assert "2.0GB (17%)" in text
    assert "2.0 GiB have room" in text
    assert " trim (120MB freed, batch 8 -> 8): torch on cuda:1 (simulated)" in text


def test_a_size_set_by_hand_says_so() -> None:
    rig = make_rig()
    rig.optimizer.set_batch_size(4)

    assert "batch 8 (set to 4 by hand)" in printed(print_status, to_json(rig.optimizer.status()))
    assert "set to 4 by hand" in render_batches(rig.optimizer.status())


def test_an_empty_history_says_so() -> None:
    assert printed(print_history, []) == "Nothing was done yet.\n"


async def test_unknown_is_told_as_unknown_in_discord() -> None:
    rig = make_rig()
    result = await rig.optimizer.optimize_memory()

    assert render_result(result).startswith("✅ 120MB freed")
    assert "an unknown amount freed" in render_result(replace(result, memory_freed_bytes=None))
    assert render_result(replace(result, success=False)).startswith("⚠️")


def test_the_audit_is_one_line_each_and_cuts_what_is_long() -> None:
    text = render_audit([AuditEntry("ann (1)", "gpu.pin", "x" * 500, 0.0)])

    assert text.startswith("`01-01 00:00:00` ann (1) · gpu.pin · xxx")
    assert len(text) < 250


def test_a_choice_is_judged_by_what_was_measured() -> None:
    rows = [Tally("yolo", 1, [0.1] * 10).row(), Tally("yolo", 8, [0.4] * 5).row()]

    choice = judge_choice("yolo", 1, rows)

    assert choice.best == 8
    assert choice.share_of_best == pytest.approx(0.5)
    assert rows[1].pictures == 40
    assert rows[1].p50_s == 0.4
    assert judge_choice("yolo", 4, rows).share_of_best is None
    assert judge_choice("yolo", 4, []).best is None


def test_a_size_that_was_skipped_says_why() -> None:
    rows = (Tally("yolo", 16, skipped="memory has room for 8 at once").row(),)
    result = BenchResult(2.0, "a.png", "balanced", rows, (judge_choice("yolo", 8, rows),))

    text = printed(print_bench, to_json(result))

    assert "skipped: memory has room for 8 at once" in text
    assert "yolo: nothing could be measured" in text
    assert bench_text(result) == "2 s; yolo: chosen 8, best None"


def test_sizes_are_powers_of_two_the_limits_and_the_choice() -> None:
    assert sizes_to_try(1, 16, 11) == (1, 2, 4, 8, 11, 16)
    assert sizes_to_try(3, 12, 3) == (3, 4, 8, 12)
    assert sizes_to_try(5, 5, 5) == (5,)
