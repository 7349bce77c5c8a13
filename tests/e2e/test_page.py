"""Danzar's own page beside the demo: what happens in the channel appears on it by itself."""

import os
import re
from pathlib import Path

import pytest

from tests.e2e.test_gpu_broker import ask, status_port, wait_for_row

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process, pytest.mark.timeout(600)]

RANKER = "clip-doom"
PATIENCE_MS = 120_000
MARK = "() => { window.loadedOnce = true; }"
TOO_WIDE_PX = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"


@pytest.fixture
def state(chromium, demo):
    """The page in a window of its own; any error in it fails the test."""
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, color_scheme="dark")
    opened = context.new_page()
    opened.set_default_timeout(PATIENCE_MS)
    troubles = []
    opened.on("pageerror", lambda error: troubles.append(str(error)))
    opened.goto(f"http://127.0.0.1:{status_port(demo)}/")
    wait_for_text(opened, "connection", "live")
    yield opened
    context.close()
    assert troubles == []


def wait_for_text(window, test_id, text):
    window.get_by_test_id(test_id).filter(has_text=text).first.wait_for()


def card(window, label):
    return window.locator(f'[data-testid="card"][data-device="{label}"]')


def keep_picture(window, name):
    """Where ``DANZAR_SCREENSHOTS`` says; those in docs/page.md come from here."""
    folder = os.environ.get("DANZAR_SCREENSHOTS")
    if folder:
        window.screenshot(path=str(Path(folder) / f"{name}.png"))


def keep_busy(page):
    """Give the pictures something to show."""
    if os.environ.get("DANZAR_SCREENSHOTS"):
        ask(page, "!watch start sample", r"Watching|watch")
        page.send("@Danzar Tell me a long story about a knight.")
        page.linger(20)
        page.send("@Danzar And another one about a dragon.")
        page.linger(1)


def test_a_game_takes_memory_and_card_and_decision_show_it_without_a_reload(page, state):
    wait_for_row(page, RANKER, "idle")
    state.evaluate(MARK)
    second = card(state, "cuda:1")
    assert "simulated" in second.inner_text()
    second.locator(f'[data-layer="lease"][data-name="{RANKER}"]').first.wait_for(state="attached")
    made_way = state.locator('[data-testid="decision"][data-kind="yield"]')
    before = made_way.count()
    ask(page, "!gpu game 11GB 1", r"simulated game takes 11\.0GB of cuda:1")
    made_way.nth(before).wait_for()
    second.get_by_test_id("legend-row").filter(has_text="game").first.wait_for()
    second.locator('[data-layer="foreign"]').first.wait_for(state="attached")
    keep_busy(page)
    keep_picture(state, "page")
    made_way.first.get_by_role("button").click()
    wait_for_text(state, "why", "What each device had room for")
    keep_picture(state, "page-why")
    state.get_by_test_id("why-close").click()
    ask(page, "!gpu game 0 1", r"gave its memory back")
    assert state.evaluate("() => window.loadedOnce") is True


def test_the_log_shows_the_request_and_its_filter_leaves_out_the_rest(state):
    lines = state.get_by_test_id("log-line")
    lines.first.wait_for()
    levels = {line.get_attribute("data-level") for line in lines.all()}
    assert "info" in levels
    state.get_by_test_id("log-level").select_option("warning")
    assert lines.filter(has_text=re.compile(r"\binfo\b")).count() == 0
    state.get_by_test_id("log-level").select_option("info")
    state.get_by_test_id("log-text").fill(f"load {RANKER}")
    lines.filter(has_text=RANKER).first.wait_for()
    assert all(f"load {RANKER}" in text for text in lines.all_inner_texts())


def test_the_page_is_read_on_a_phone_dark_and_light(state):
    card(state, "cuda:0").wait_for()
    state.set_viewport_size({"width": 375, "height": 812})
    papers = set()
    for scheme in ("light", "dark"):
        state.emulate_media(color_scheme=scheme)
        assert state.evaluate(TOO_WIDE_PX) == 0
        papers.add(state.evaluate("() => getComputedStyle(document.body).backgroundColor"))
        state.evaluate("() => scrollTo(0, 0)")
        keep_picture(state, f"page-phone-{scheme}")
    assert len(papers) == 2
    state.set_viewport_size({"width": 1280, "height": 900})
    state.emulate_media(color_scheme="light")
    keep_picture(state, "page-light")


def test_ready_and_metrics_are_beside_the_page(state):
    """From the page itself, as it would be read there: same origin, no key on this machine."""
    told = state.evaluate(
        "async () => [(await fetch('/ready')).status, await (await fetch('/metrics')).text()]"
    )
    assert told[0] == 200
    assert "vlm_memory_total_bytes" in told[1]
