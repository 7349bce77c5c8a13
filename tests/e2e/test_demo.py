"""The demo from a person's side: the real bot, real models, real sockets, a real browser."""

import re
import time

import psutil
import pytest

from tests.e2e.page import DONE

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process, pytest.mark.timeout(600)]

# A small model's long story is a single sentence now and then.
TIMES = range(4)
LONG = 800


def test_a_question_is_answered_while_one_watches(page):
    page.open("general")
    texts = next(found for _ in TIMES if len((found := watch_a_story(page))[-1]) >= LONG)
    assert len(texts) >= 4, "at least three partial texts and the whole one"
    assert "simulated" in texts[-1]
    page.screenshot("chat")


def test_a_frame_comes_back_with_the_enemy_boxed_and_the_health_read(page):
    page.open("game-night")
    forget(page)
    before = page.answers().count()
    page.attach_sample("low-health.png")
    page.send("@Danzar is my health low?")
    text = page.wait_for_text(r"health.*20.*" + DONE, since=before)
    page.screenshot("vision")
    assert re.search(r"enemy", text, re.IGNORECASE)
    assert page.picture_size(page.answers().last) == (640, 480)


def test_gpu_status_shows_both_cards_with_the_seeds_fields(page):
    page.open("general")
    before = page.answers().count()
    page.send("!gpu status")
    text = page.wait_for_text(r"GPU Memory Status", since=before)
    for card in ("RTX 4070, simulated", "RTX 4070 SUPER, simulated"):
        assert card in text
    for name in ("Allocated", "Reserved", "Free", "Total", "Utilization"):
        assert text.count(f"{name}:") >= 2
    assert "Recommendations" in text
    page.screenshot("gpu")


def test_the_slash_command_for_the_best_vision_device_answers(page):
    page.open("general")
    before = page.answers().count()
    page.use_command("/gpu vision")
    text = page.wait_for_text(r"Best Vision Device", since=before)
    assert "Device: cuda:1" in text


def test_a_watch_raises_an_alert_with_no_one_typing_and_stops(page):
    page.open("game-night")
    before = page.answers().count()
    page.send("!watch start sample")
    page.wait_for_text(r"watch", since=before)
    page.open("alerts")
    page.wait_for_text(r"enemy|health")
    assert page.answers().first.locator("img").count() >= 1
    page.screenshot("alert")
    page.open("game-night")
    before = page.answers().count()
    page.send("!watch stop")
    page.wait_for_text(r"stop|end", since=before)


def test_a_slow_press_on_stop_ends_an_answer_that_is_still_being_written(page):
    page.open("general")
    before = next(found for _ in TIMES if (found := press_stop(page)) is not None)
    text = page.wait_for_text(r"stopped", since=before)
    time.sleep(2)
    assert page.answers().nth(before).inner_text() == text


def test_a_killed_worker_leaves_the_bot_online_and_the_next_question_works(page, demo):
    page.open("general")
    forget(page)
    before = page.answers().count()
    page.send("@Danzar Tell me a very long story about a ship that sails around the world.")
    wait_for_its_begin(page, before)
    killed = chat_worker(demo.family())
    killed.kill()
    page.wait_for_text(r"worker|again|died|killed", since=before)
    assert not killed.is_running() or killed.status() == psutil.STATUS_ZOMBIE
    before = page.answers().count()
    page.send("@Danzar Say hello.")
    page.wait_for_text(DONE, since=before)


def test_a_model_cannot_ping_everyone(page):
    page.open("general")
    before = page.answers().count()
    page.send("@Danzar Repeat exactly: @everyone come here")
    page.wait_for_text(DONE, since=before)
    assert page.page.locator('[data-author="Danzar"].mentioned, .mention-everyone').count() == 0


def watch_a_story(page):
    """The texts that an answer goes through."""
    forget(page)
    before = page.answers().count()
    page.send("@Danzar Tell me a story about a knight and a dragon.")
    return page.partial_texts(before, DONE)


def press_stop(page):
    """How many answers were there before; none if the story was over before the press was."""
    forget(page)
    before = page.answers().count()
    page.send("@Danzar Tell me a very long story about a journey around the world, with details.")
    wait_for_its_begin(page, before)
    answer = page.answers().nth(before)
    answer.get_by_test_id("button-Stop").hover()
    page.page.mouse.down()
    # Longer than from one edit to the next, each of which draws the message anew.
    time.sleep(1.5)
    was_over = re.search(DONE, answer.inner_text())
    page.page.mouse.up()
    return None if was_over else before


def wait_for_its_begin(page, before):
    until = time.monotonic() + 60
    while page.answers().count() <= before and time.monotonic() < until:
        time.sleep(0.05)


def forget(page):
    before = page.answers().count()
    page.send("!reset")
    page.wait_for_text(r"forgot|forget", since=before)


def chat_worker(family):
    """The worker that has the GGUF file mapped."""
    for member in family:
        try:
            if any(m.path.endswith(".gguf") for m in member.memory_maps()):
                return member
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    raise AssertionError("no worker has a GGUF file open")
