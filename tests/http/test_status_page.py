"""Danzar's page in a real browser, over a server whose facts a test changes."""

import contextlib
import re
import socket
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import async_playwright, expect

from danzar.broker.decision import DecisionKind, make_decision
from danzar.config.bot import HttpSettings
from danzar.core.device import ProcessUse
from danzar.core.pressure import Level
from danzar.graph import UseHistory
from danzar.http import status_live
from danzar.http.api_keys import ApiKeys, KeyLimits
from danzar.http.status_json import BotFacts, StatusFacts, WatchFact, job_json
from danzar.http.status_server import serve_status
from danzar.incidents.record import IncidentRecord
from danzar.incidents.record_json import record_json
from danzar.jobs.contract import JobState, JobView
from danzar.logs.line import LogLine
from danzar.logs.ring import Ring
from tests.browser import CHROMIUM, FLAGS
from tests.gpu_memory.cards import cpu, gib, gpu, memories, seed_ledger
from tests.http.status_rig import EMPTY, parts_of
from tests.http.test_status import PLANNER
from tests.local.panel_status import VIEWS

pytestmark = [
    pytest.mark.browser,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"no Chromium at {CHROMIUM}"),
]
expect.set_options(timeout=20_000)

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"
OPENED = datetime(2026, 1, 1, 12, tzinfo=UTC)
# The contrast of each text with what is behind it, where that is less than WCAG's AA asks for.
TOO_WIDE_PX = "() => document.documentElement.scrollWidth - document.documentElement.clientWidth"
POOR_CONTRAST = Path(__file__).with_name("contrast.js").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Nobody waits a second for each change."""
    monkeypatch.setattr(status_live, "PERIOD_S", 0.1)


class World:
    """A machine with two cards, models, a game, incidents, jobs, watches and a log."""

    def __init__(self):
        self.free_gib = 4.0
        self.decisions = [
            make_decision(time.time() - 60, DecisionKind.LOAD, "chat", f"room {EVIL}", "cuda:0"),
            make_decision(time.time() - 30, DecisionKind.YIELD, EVIL, "makes way", "cuda:0"),
        ]
        self.log = Ring()
        for level in ("info", "warning", "error"):
            self.say(f"{level} {EVIL}", level)
        self.closed = False
        self.use = UseHistory(lambda: self.facts().devices, keep_s=3600.0)
        self.use.note()

    def say(self, text, level="info", error=None):
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.log.add(
            LogLine(at=at, level=level, logger="danzar.x", text=text, request="m1", error=error)
        )

    def facts(self):
        game = (ProcessUse(812, EVIL, gib(1)),)
        cards = (gpu(0, self.free_gib, processes=game, simulated=True), gpu(1, 9.0), cpu())
        return StatusFacts(
            bot=BotFacts("Danzar", True, 0.04, 0.002, 10**8),
            devices=memories(*cards, ledger=seed_ledger(chat_gib=3.0)),
            models=VIEWS,
            watches=(WatchFact(1, EVIL, 120, "cuda:1"),),
        )

    def incidents(self):
        closed_at = datetime(2026, 1, 1, 12, 5, tzinfo=UTC) if self.closed else None
        record = IncidentRecord(
            number=1,
            key="memory:GPU-0",
            level=Level.CRITICAL,
            worst=Level.CRITICAL,
            text=f"cuda:0 is full: {EVIL}",
            worst_text=f"cuda:0 is full: {EVIL}",
            opened_at=OPENED,
            seen_at=OPENED,
            trouble_since=OPENED,
            closed_at=closed_at,
            told=True,
        )
        return [record_json(record, OPENED)]

    async def jobs(self):
        return [
            job_json(JobView("job1", "chat", JobState.RUNNING, time.time(), progress=0.5)),
            job_json(JobView("job2", "sdxl", JobState.FAILED, time.time(), error=EVIL)),
        ]

    def parts(self):
        return parts_of(
            self.facts,
            PLANNER,
            self.decisions,
            use=self.use,
            log=self.log,
            incidents=self.incidents,
            jobs=self.jobs,
        )


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=str(CHROMIUM), args=FLAGS)
        yield chromium
        await chromium.close()


@contextlib.asynccontextmanager
async def opened(browser, url, width=1280, **options):
    """A window at the page; an error, a refusal by its policy, or a dialog fails the test."""
    context = await browser.new_context(viewport={"width": width, "height": 850}, **options)
    window = await context.new_page()
    troubles = []
    window.on("pageerror", lambda error: troubles.append(str(error)))
    window.on("dialog", lambda dialog: troubles.append(f"dialog: {dialog.message}"))
    window.on("console", lambda line: troubles.extend(_policy_trouble(line.text)))
    await window.goto(url)
    yield window
    await context.close()
    assert troubles == []


def _policy_trouble(text):
    return [text] if "Content Security Policy" in text or "Trusted" in text else []


@contextlib.asynccontextmanager
async def at_page(browser, parts, **options):
    async with (
        serve_status(parts, HttpSettings(port=0)) as url,
        opened(browser, url, **options) as window,
    ):
        await expect(window.get_by_test_id("connection")).to_have_text("live")
        yield window


async def test_what_comes_from_outside_is_shown_as_text_wherever_it_stands(browser):
    world = World()
    async with at_page(browser, world.parts()) as window:
        for part in ("cards", "decisions", "incidents", "watches", "jobs", "log"):
            await expect(window.get_by_test_id(part)).to_contain_text("<script>alert(1)</script>")
        assert await window.locator("main script, main img").count() == 0
        row = window.get_by_test_id("decision").filter(has_text="made way")
        await row.get_by_role("button").click()
        await expect(window.get_by_test_id("why")).to_contain_text("<script>")


async def test_a_simulated_card_says_so_and_a_real_one_does_not(browser):
    async with at_page(browser, World().parts()) as window:
        cards = window.get_by_test_id("card")
        await expect(cards).to_have_count(3)
        await expect(cards.nth(0)).to_contain_text("simulated")
        await expect(cards.nth(1)).not_to_contain_text("simulated")


async def test_the_chart_grows_without_a_reload_and_says_its_numbers_to_a_keyboard(browser):
    world = World()
    async with at_page(browser, world.parts()) as window:
        await expect(window.get_by_test_id("card").nth(0)).to_contain_text("8.0 of 12.0 GiB")
        world.free_gib = 1.0
        await expect(window.get_by_test_id("card").nth(0)).to_contain_text("11.0 of 12.0 GiB")
        chart = window.get_by_test_id("chart").first
        await expect(chart.locator('[data-layer="lease"][data-name="chat"]').first).to_be_attached()
        await expect(chart.locator('[data-layer="foreign"]').first).to_be_attached()
        await chart.focus()
        await window.keyboard.press("End")
        await expect(chart).to_have_attribute(
            "aria-valuetext", re.compile(r"11\.0 GiB in use, chat 3\.0 GiB, others 8\.0 GiB")
        )
        await expect(window.get_by_test_id("tip").first).to_be_visible()
        await window.keyboard.press("Escape")
        await expect(window.get_by_test_id("tip").first).to_be_hidden()


async def test_a_decision_shows_its_numbers_and_the_focus_comes_back(browser):
    async with at_page(browser, World().parts()) as window:
        decision = window.get_by_test_id("decision").filter(has_text="loaded").get_by_role("button")
        await decision.focus()
        await window.keyboard.press("Enter")
        why = window.get_by_test_id("why")
        await expect(why).to_contain_text("chat runs on cuda:0")
        await expect(why).to_contain_text("6.0 GiB")
        await expect(why).to_contain_text("← taken")
        await window.keyboard.press("Escape")
        await expect(why).to_be_hidden()
        await expect(decision).to_be_focused()


async def test_decisions_are_filtered_by_kind_and_words(browser):
    async with at_page(browser, World().parts()) as window:
        rows = window.get_by_test_id("decision")
        await expect(rows).to_have_count(2)
        await window.get_by_test_id("decision-kind").select_option("load")
        await expect(rows).to_have_count(1)
        await window.get_by_test_id("decision-text").fill("nowhere")
        await expect(window.get_by_test_id("decisions")).to_contain_text("No decision is like that")


async def test_an_open_incident_is_on_top_and_tells_its_duration_when_it_is_closed(browser):
    world = World()
    async with at_page(browser, world.parts()) as window:
        row = window.get_by_test_id("incident-row")
        await expect(row).to_contain_text("critical")
        await expect(window).to_have_title(re.compile(r"^\(!\) Danzar"))
        world.closed = True
        await expect(row).to_contain_text("lasted 5 min")
        await expect(window).to_have_title(re.compile(r"^Danzar"))


async def test_the_log_is_filtered_and_stands_still_while_it_is_paused(browser):
    world = World()
    async with at_page(browser, world.parts()) as window:
        lines = window.get_by_test_id("log-line")
        await expect(lines).to_have_count(3)
        await window.get_by_test_id("log-level").select_option("warning")
        await expect(lines).to_have_count(2)
        await window.get_by_test_id("log-level").select_option("info")
        await window.get_by_test_id("log-pause").click()
        world.say("while paused", error="Traceback: it broke")
        await expect(window.get_by_test_id("log-pause")).to_have_text("Go on (1 new line)")
        await expect(lines).to_have_count(3)
        await window.get_by_test_id("log-pause").click()
        await expect(lines).to_have_count(4)
        await lines.last.locator("summary").click()
        await expect(lines.last).to_contain_text("Traceback: it broke")
        await window.get_by_test_id("log-text").fill("WHILE")
        await expect(lines).to_have_count(1)


async def test_ten_thousand_decisions_and_lines_leave_the_page_small(browser):
    world = World()
    world.decisions.extend(
        make_decision(time.time(), DecisionKind.LOAD, f"m{n}", "room", "cuda:0")
        for n in range(10_000)
    )
    for n in range(10_000):
        world.say(f"line {n}")
    async with at_page(browser, world.parts()) as window:
        await expect(window.get_by_test_id("decision").first).to_contain_text("m9999")
        assert await window.get_by_test_id("decision").count() == 300
        assert await window.get_by_test_id("log-line").count() <= 400
        assert await window.locator("*").count() < 12_000


async def test_a_lost_connection_is_said_and_made_again_by_itself(browser):
    settings = HttpSettings(port=free_port())
    world = World()
    first = contextlib.AsyncExitStack()
    url = await first.enter_async_context(serve_status(world.parts(), settings))
    async with opened(browser, url) as window:
        state = window.get_by_test_id("connection")
        await expect(state).to_have_text("live")
        await first.aclose()
        await expect(state).to_have_text("reconnecting…")
        await expect(window.get_by_test_id("lost")).to_contain_text("was lost")
        await expect(window.get_by_test_id("decision")).to_have_count(2)  # what was known stays
        world.decisions.append(make_decision(time.time(), DecisionKind.EVICT, "clip", "", None))
        async with serve_status(world.parts(), settings):
            await expect(state).to_have_text("live")
            await expect(window.get_by_test_id("lost")).to_be_hidden()
            await expect(window.get_by_test_id("decision")).to_have_count(3)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def test_nothing_at_all_is_said_in_words(browser):
    async with at_page(browser, parts_of(EMPTY, PLANNER)) as window:
        for part, words in (
            ("cards", "No card"),
            ("models", "No model is configured"),
            ("decisions", "Nothing was decided yet"),
            ("incidents", "Nothing went wrong"),
            ("watches", "Nothing is watched"),
            ("jobs", "No job was given yet"),
            ("log", "Nothing was logged yet"),
        ):
            await expect(window.get_by_test_id(part)).to_contain_text(words)


async def test_nothing_is_wider_than_the_window_and_every_text_has_contrast(browser):
    async with at_page(browser, World().parts()) as window:
        await expect(window.get_by_test_id("job-row")).to_have_count(2)
        for width in (320, 375, 768, 1280):
            await window.set_viewport_size({"width": width, "height": 850})
            assert await window.evaluate(TOO_WIDE_PX) == 0
        for scheme in ("dark", "light"):
            await window.emulate_media(color_scheme=scheme)
            assert await window.evaluate(POOR_CONTRAST) == []
        await window.evaluate("() => document.body.style.setProperty('--muted', '#999')")
        assert len(await window.evaluate(POOR_CONTRAST)) > 10  # the measure finds what is poor


async def test_the_switch_wins_over_the_system_and_is_remembered(browser):
    async with at_page(browser, World().parts(), color_scheme="light") as window:
        paper = "() => getComputedStyle(document.body).backgroundColor"
        light = await window.evaluate(paper)
        await window.get_by_test_id("theme").click()
        dark = await window.evaluate(paper)
        assert dark != light
        await window.reload()
        assert await window.evaluate(paper) == dark
        await window.get_by_test_id("theme").click()
        assert await window.evaluate(paper) == light


async def test_figures_that_change_move_nothing_and_take_no_focus(browser):
    world = World()
    async with at_page(browser, world.parts()) as window:
        button = window.get_by_test_id("decision").first.get_by_role("button")
        await expect(window.get_by_test_id("job-row")).to_have_count(2)
        await button.focus()
        place = await button.bounding_box()
        world.free_gib = 3.0
        await expect(window.get_by_test_id("card").nth(0)).to_contain_text("9.0 of 12.0 GiB")
        await expect(button).to_be_focused()
        assert await button.bounding_box() == place


async def test_a_browser_from_elsewhere_gets_in_with_the_key_as_its_password(browser, tmp_path):
    async with ApiKeys.open(tmp_path / "api_keys.db") as keys:
        _, text = await keys.add("me", KeyLimits())
        settings = HttpSettings(port=0, hosts=("danzar.lan",))
        async with serve_status(World().parts(), settings, keys) as url:
            proxied = {"extra_http_headers": {"X-Forwarded-For": "203.0.113.7"}}
            login = {"http_credentials": {"username": "me", "password": text}}
            async with opened(browser, url, **proxied, **login) as window:
                await expect(window.get_by_test_id("connection")).to_have_text("live")
                await expect(window.get_by_test_id("card")).to_have_count(3)
                await keys.revoke("me")
