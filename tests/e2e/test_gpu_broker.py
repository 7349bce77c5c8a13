"""Who holds which bytes, and why: asked, changed and watched from a person's side in the demo."""

import json
import os
import re
import subprocess
import sys
import time

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.page import ChatPage

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process, pytest.mark.timeout(600)]

DETECTOR, RANKER = "yolo-nano", "clip-doom"
FOLLOWED_S = 120
PRESSES = 3


@pytest.fixture
def page(chromium, demo):
    """As the others have it, with twice the pixels: its pictures are of single messages."""
    context = chromium.new_context(
        viewport={"width": 1440, "height": 1000}, device_scale_factor=2, color_scheme="dark"
    )
    opened = context.new_page()
    opened.set_default_timeout(30_000)
    opened.goto(demo.url)
    yield ChatPage(opened)
    context.close()


def ask(page, command, pattern):
    page.open("general")
    before = page.answers().count()
    page.send(command)
    return page.wait_for_text(pattern, since=before)


def press(page, label, pattern):
    """Confirm, and again where the bot asks again because the cards have changed meanwhile.

    Faster than any person, a press may even come before the bot itself knows that it has sent the
    button; the page then says that nobody responded.
    """
    button = page.page.get_by_test_id(f"button-{label}").last
    unanswered = page.page.get_by_text("did not respond in time")
    for _ in range(PRESSES):
        asked, before = page.last_text(), unanswered.count()
        button.click()
        wait_until(lambda: unanswered.count() > before or is_carried_out(page, asked))  # noqa: B023
        if unanswered.count() == before and "press again" not in page.last_text():
            break
    return page.wait_for_text(pattern)


def is_carried_out(page, asked):
    shown = page.last_text()
    return shown != asked and "Under way" not in shown


def wait_until(holds):
    until = time.monotonic() + FOLLOWED_S
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def model_row(page, name):
    return page.page.locator(f'[data-testid="model-row"][data-model="{name}"]')


def wait_for_row(page, name, text):
    until = time.monotonic() + FOLLOWED_S
    while text not in model_row(page, name).inner_text():
        assert time.monotonic() < until, model_row(page, name).inner_text()
        time.sleep(0.2)


def test_models_are_shown_with_what_they_hold_in_the_channel_and_in_the_panel(page):
    wait_for_row(page, DETECTOR, "cuda:1")
    text = ask(page, "!gpu models", r"Models.*smollm2")
    assert "ready on cuda:0 (simulated)" in text
    assert "protected from other programs" in text
    assert "reload" in model_row(page, "smollm2").inner_text()
    assert page.page.get_by_test_id("decision").count() >= 3


def test_a_plan_has_its_numbers_and_touches_nothing(page):
    text = ask(page, f"!gpu plan {DETECTOR}", r"dry run")
    assert f"{DETECTOR} would run on cuda:1 (simulated)" in text
    assert "needed, room for" in text
    assert "cuda:1" in model_row(page, DETECTOR).inner_text()


def test_a_wrong_name_is_answered_with_the_nearest_one(page):
    assert f"did you mean {DETECTOR}?" in ask(page, "!gpu why yolonano", r"no model is called")


def test_models_make_way_for_a_game_and_come_back_and_the_graph_shows_it(page):
    wait_for_row(page, RANKER, "idle")
    ask(page, "!gpu game 9GB 1", r"simulated game takes 9\.0GB of cuda:1")
    wait_for_row(page, DETECTOR, "left for other programs")
    page.linger(45)
    ask(page, "!gpu game 0 1", r"gave its memory back")
    wait_for_row(page, DETECTOR, "idle")
    text = ask(page, "!gpu history", r"What happened.*makes way for game")
    assert f"yield {DETECTOR} on cuda:1" in text
    page.linger(10)
    ask(page, "!gpu graph 2", r"The past 2 min")
    assert page.picture_size(page.answers().last)[0] == 1200
    page.picture_of_last("gpu-graph", "img")


def test_a_reservation_moves_the_detector_and_why_explains_it(page):
    text = ask(page, "!gpu reserve cuda:1 11.5GB games", r"would be kept for games")
    assert f"From then on {DETECTOR} would run on cuda:0" in text
    press(page, "Reserve", r"kept from now on, also after a restart")
    wait_for_row(page, DETECTOR, "idle")
    ask(page, f"!gpu unload {DETECTOR}", r"would come back")
    press(page, "Unload", r"is not loaded")
    ask(page, f"!gpu load {DETECTOR}", r"would run on cuda:0")
    press(page, "Load", rf"{DETECTOR} is ready on cuda:0")
    text = ask(page, f"!gpu why {DETECTOR}", r"Why|runs on cuda:0")
    assert "kept for games" in text
    assert "← taken" in text
    page.picture_of_last("gpu-why")
    ask(page, "!gpu reserve clear", r"would be free for all")
    press(page, "Clear", r"are gone")


def test_another_person_may_look_but_not_change(page):
    page.page.get_by_test_id("person-Robin").click()
    assert "Danzar Operator" in ask(page, f"!gpu unload {DETECTOR}", r"needs the role")
    ask(page, "!gpu models", r"smollm2")


def test_the_command_line_tells_the_same(demo, page):
    port = status_port(demo)
    wait_for_row(page, "smollm2", "cuda:0")
    done = subprocess.run(
        [sys.executable, "-m", "danzar", "gpu", "why", "smollm2", "--json"],
        cwd=ROOT,
        env={**os.environ, "DANZAR_BOT__HTTP__PORT": port},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    answer = json.loads(done.stdout)
    assert answer["outcome"] == "placed"
    assert answer["shares"][0]["device"] == "cuda:0"


def status_port(demo):
    """Of the demo's status API, as its log says."""
    (port,) = re.findall(r"status at http://127\.0\.0\.1:(\d+)/", demo.log_file.read_text())
    return port
