"""What of the soak can be said without one: slopes, verdicts, and how answers are told apart."""

import json
import random

import pytest

from benchmarks.soak import seconds
from benchmarks.soak_analysis import (
    Verdict,
    below,
    binned,
    centred,
    growth,
    least_squares,
    student_quantile,
    theil_sen,
    worst,
)
from benchmarks.soak_lives import roles
from benchmarks.soak_page import buttons, outcome_of
from benchmarks.soak_report import log_counts, print_report
from benchmarks.soak_samples import role_of

HOUR_S = 3600


def series(mb_per_h, hours=1.5, noise=0.5, seed=1):
    """A process of 150 MB that is looked at every 15 s."""
    chance = random.Random(seed)
    return [
        (at, 150 + mb_per_h * at / HOUR_S + chance.gauss(0, noise))
        for at in range(0, int(hours * HOUR_S), 15)
    ]


def test_a_line_is_fitted_exactly():
    slope, error = least_squares(centred([(x, 3 + 2 * x) for x in range(10)]), 8)
    assert slope == pytest.approx(2)
    assert error == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("rate", [-4.0, 0.0, 0.5, 8.0])
def test_a_slope_is_found_in_noise_and_lies_in_its_interval(rate):
    found = growth([series(rate)])
    assert found.low <= rate <= found.high
    assert found.least_squares == pytest.approx(rate, abs=0.3)
    assert found.theil_sen == pytest.approx(rate, abs=0.4)


def test_few_wild_samples_do_not_turn_the_robust_slope():
    points = [(x, float(x)) for x in range(20)]
    points[18] = (18, 500.0)
    assert theil_sen([points]) == pytest.approx(1, abs=0.05)
    assert least_squares(centred(points), 18)[0] > 5


def test_a_bin_is_its_median_and_an_empty_one_is_none():
    points = [(0, 1.0), (10, 9.0), (20, 2.0), (100, 5.0)]
    assert binned(points, 30) == [(10, 2.0), (100, 5.0)]


@pytest.mark.parametrize("rate", [0.0, 4.0])
def test_the_least_of_each_bin_shows_what_requests_leave_behind(rate):
    chance = random.Random(1)
    busy = [(at, mb + chance.choice([0, 0, 40, 90])) for at, mb in series(rate, noise=0.1)]
    around, floor = growth([busy]), growth([busy], take=min)
    assert around.high - around.low > 10
    assert floor.low <= rate <= floor.high
    assert floor.high - floor.low < 0.5


@pytest.mark.parametrize(("freedom", "exact"), [(3, 3.182), (5, 2.571), (18, 2.101), (60, 2.000)])
def test_quantiles_of_student_are_those_of_the_table(freedom, exact):
    assert student_quantile(0.95, freedom) == pytest.approx(exact, rel=0.01)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    held = 0
    for seed in range(200):
        found = growth([series(0.0, hours=1, seed=seed)])
        held += found.low <= 0 <= found.high
    assert 180 <= held <= 199


def test_a_flat_process_meets_the_limit_and_a_leak_does_not():
    assert below(growth([series(0.1)]), 1.0) is Verdict.MET
    assert below(growth([series(6.0)]), 1.0) is Verdict.NOT_MET


def test_what_could_be_either_gets_no_verdict():
    assert below(growth([series(1.0, noise=20)]), 1.0) is Verdict.OPEN
    assert below(growth([series(0.0, hours=0.2)]), 1.0) is Verdict.OPEN


def test_all_must_meet_the_limit_and_none_at_all_says_nothing():
    assert worst([Verdict.MET, Verdict.OPEN]) is Verdict.OPEN
    assert worst([Verdict.OPEN, Verdict.NOT_MET, Verdict.MET]) is Verdict.NOT_MET
    assert worst([Verdict.MET, Verdict.MET]) is Verdict.MET
    assert worst([]) is Verdict.OPEN


@pytest.mark.parametrize(("text", "expected"), [("2h", 7200), ("90m", 5400), ("45s", 45), ("7", 7)])
def test_durations_are_read(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize(
    ("text", "unchanged_s", "outcome"),
    [
        ("", 99, None),
        ("⏳ Position 2 in the queue.", 99, None),
        ("A dragon ▌", 99, None),
        ("A dragon.\n-# cuda:0 (simulated) · 1.2 s", 0, "answered"),
        ("A dragon.\n-# cpu · 31 s · waited 4 s", 0, "answered"),
        ("A\n-# stopped", 0, "stopped"),
        ("I am already working on 2 questions of yours.", 1, None),
        ("I am already working on 2 questions of yours.", 60, "refused"),
    ],
)
def test_it_is_seen_when_and_how_an_answer_ended(text, unchanged_s, outcome):
    assert outcome_of(text, unchanged_s) == outcome


def test_only_buttons_that_can_be_pressed_are_pressed():
    row = [
        {"label": "Stop", "custom_id": "1"},
        {"label": "Regenerate", "custom_id": "2", "disabled": True},
        {"label": "Elsewhere", "url": "https://example.org"},
    ]
    assert buttons({"components": [{"components": row}]}) == {"Stop": "1"}
    assert buttons({}) == {}


def test_processes_are_told_apart_by_their_command_lines():
    python = "python"
    assert role_of([python, "-m", "danzar", "demo", "--port", "0"], 1, {}) == "demo"
    assert role_of([python, "-m", "danzar.local", "--port", "0"], 1, {}) == "local discord"
    assert role_of([python, "-m", "danzar", "run"], 1, {}) == "bot"
    child = [python, "-m", "danzar.workers.child"]
    assert role_of(child, 7, {7: "torch 0-1"}) == "worker torch 0-1"
    assert role_of(child, 8, {7: "torch 0-1"}) == "worker ?"


def sample(at_s, *processes):
    return {
        "at_s": at_s,
        "processes": [
            {
                "pid": pid,
                "began_at": began_at,
                "role": role,
                "rss": 2 * own,
                "own": own,
                "handles": 9,
                "threads": 3,
                "cpu_s": at_s / 10,
            }
            for pid, began_at, role, own in processes
        ],
        "files": {"data/danzar.db": 4096 + at_s},
        "load": 0.5,
        "status": {"lag_p99_s": 0.004},
    }


def leaking(hours, mb_per_h=10):
    """A bot that leaks, and workers that come and go under one process id."""
    return [
        sample(
            at,
            (5, 1.0, "bot", int(1e8 + mb_per_h * 1e6 * at / HOUR_S)),
            (6, 100.0 * (at // HOUR_S), "worker ?" if at % HOUR_S == 0 else "worker llama", 10**8),
        )
        for at in range(0, int(hours * HOUR_S), 60)
    ]


def test_the_first_minutes_of_a_process_do_not_count():
    bot, workers = roles(leaking(2), warm_up_s=1200)
    assert bot.memory["own"].least_squares == pytest.approx(10, abs=0.1)
    assert bot.memory["rss"].least_squares == pytest.approx(20, abs=0.2)
    assert bot.lives[0].warm_s == pytest.approx(2 * HOUR_S - 1260, abs=60)
    assert bot.lives[0].cpu_share == pytest.approx(0.1)
    assert [life.lived_s for life in workers.lives] == [HOUR_S - 60, HOUR_S - 60]
    assert workers.lives[1].warm_s == pytest.approx(HOUR_S - 60 - 400, abs=60)


def test_growth_of_a_chat_model_is_also_told_without_the_conversations_it_keeps(tmp_path, capsys):
    samples = [
        sample(at, (6, 1.0, "worker llama", int(2e8 + 12e6 * at / HOUR_S)))
        for at in range(0, 2 * HOUR_S, 60)
    ]
    for each in samples[1:]:
        (process,) = each["processes"]
        process["cached"] = int(10e6 * each["at_s"] / HOUR_S)
    (worker,) = roles(samples, warm_up_s=1200)
    assert worker.memory["own"].least_squares == pytest.approx(12)
    assert worker.memory["uncached"].least_squares == pytest.approx(2)
    written(tmp_path, samples, [ANSWERED], [WHOLE])
    assert print_report(tmp_path)["memory is flat"] is Verdict.NOT_MET
    assert "3.3 to 19.8 MB of conversations" in capsys.readouterr().out


def test_a_worker_that_replaced_another_is_no_growth_of_it():
    flat = [[(at, height) for at in range(0, 1800, 15)] for height in (100.0, 160.0)]
    assert growth(flat).least_squares == pytest.approx(0, abs=1e-6)
    leaks = [[(at, 90 + 9 * at / HOUR_S) for at in range(0, 1800, 15)] for _ in range(2)]
    assert growth(leaks).least_squares == pytest.approx(9)
    assert growth(leaks).bins == 12


def test_a_standby_that_takes_a_model_over_begins_a_life_of_its_own():
    samples = [
        sample(at, (7, 1.0, role, own))
        for at in range(0, 4 * HOUR_S, 60)
        for role, own in [
            ("worker standby", 4 * 10**8) if at < 2 * HOUR_S else ("worker torch", 5 * 10**8)
        ]
    ]
    samples[0]["processes"][0]["role"] = samples[120]["processes"][0]["role"] = "worker ?"
    standby, torch = roles(samples, warm_up_s=1200)
    assert [role.name for role in (standby, torch)] == ["worker standby", "worker torch"]
    assert standby.lives[0].lived_s == torch.lives[0].lived_s == 2 * HOUR_S - 60
    assert torch.lives[0].warm_s == pytest.approx(2 * HOUR_S - 60 - 400, abs=60)
    assert standby.memory["own"].high < 1 > torch.memory["own"].high


def written(folder, samples, acts, ends=()):
    (folder / "meta.json").write_text(
        json.dumps({"began": "2026-01-01", "warm_up_s": 1200, "rate": 1, "duration_s": 7200})
    )
    for name, lines in (("samples", samples), ("acts", acts), ("end", ends)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(x) + "\n" for x in lines))


ANSWERED = {"at_s": 1, "act": "chat", "outcome": "answered", "took_s": 1.0, "text": ""}
WHOLE = {"audit": {"ended": 3, "open": [], "changed": []}, "alerts": 0}


def test_a_leak_and_a_lost_answer_are_told(tmp_path):
    lost = {**ANSWERED, "outcome": "lost"}
    written(tmp_path, leaking(2), [ANSWERED, lost], [WHOLE])
    verdicts = print_report(tmp_path)
    assert verdicts["memory is flat"] is Verdict.NOT_MET
    assert verdicts["nothing is lost"] is Verdict.NOT_MET


def test_a_flat_run_that_lost_nothing_meets_its_figures(tmp_path):
    written(tmp_path, leaking(2, mb_per_h=0), [ANSWERED], [WHOLE])
    verdicts = print_report(tmp_path)
    assert verdicts["memory is flat"] is Verdict.MET
    assert verdicts["event loop"] is Verdict.MET
    assert verdicts["files are bounded"] is Verdict.MET
    assert verdicts["nothing is lost"] is Verdict.MET


def test_a_file_that_nothing_bounds_is_told(tmp_path, capsys):
    samples = leaking(2, mb_per_h=0)
    samples[-1]["files"]["data/forgotten.txt"] = 5
    written(tmp_path, samples, [ANSWERED], [WHOLE])
    assert print_report(tmp_path)["files are bounded"] is Verdict.NOT_MET
    line = next(x for x in capsys.readouterr().out.splitlines() if "forgotten" in x)
    assert "NO LIMIT IS KNOWN" in line


def test_a_short_run_says_nothing(tmp_path):
    written(tmp_path, leaking(0.3), [ANSWERED])
    assert set(print_report(tmp_path).values()) == {Verdict.OPEN}


def test_warnings_are_counted_by_who_wrote_them(tmp_path):
    log = tmp_path / "demo.log"
    log.write_text(
        "2026-01-01 10:00:00,000 INFO danzar.app: online\n"
        "2026-01-01 10:00:01,000 WARNING danzar.monitor: hot\n"
        "2026-01-01 10:00:02,000 WARNING danzar.monitor: hotter\n"
        "2026-01-01 10:00:02,000 ERROR asyncio: boom\nTraceback ...\n"
    )
    told = log_counts(log)
    assert told["counts"] == {"WARNING danzar.monitor": 2, "ERROR asyncio": 1}
    assert told["first"]["WARNING danzar.monitor"] == "hot"


def test_growth_of_nothing_is_nothing():
    assert growth([]) is None
    assert growth([[]]) is None
    assert growth([[(0, 1.0)], [(900, 2.0)]]) is None
