"""Pictures from the chat page: the real bot, a real but untrained pipeline, a real browser."""

import hashlib
import re

import pytest
import yaml

from tests.e2e.conftest import chat_page, running_demo
from tests.tiny_pipelines import SIDE_PX, add_tiny

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process, pytest.mark.timeout(600)]

MADE = r"seed \d+ ·"
STOPPED_WITHIN_S = 10
# diffusers is imported once; on a busy machine that takes a minute.
LOADING_S = 300
# Takes long enough on this pipeline to be stopped in the middle.
LONG = "--steps 150 --count 8 --size 128"


@pytest.fixture(scope="module")
def imagine_demo(tmp_path_factory, tiny_pipelines):
    """A demo whose only models make pictures and videos."""
    root = tmp_path_factory.mktemp("painter")
    (root / "config").mkdir()
    use = {"chat": None, "detect": None, "rank": None, "read": None}
    use |= {"imagine": "tiny-sd", "video": "tiny-wan"}
    media = {"backend": "media", "role": "media"}
    painter = add_tiny(root, tiny_pipelines)
    painter["settings"] = {**painter["settings"], "max_pixels": (2 * SIDE_PX) ** 2}
    video = add_tiny(root, tiny_pipelines, kind="wan")
    models = {"media": media, "tiny-sd": painter, "tiny-wan": video}
    limits = {"max_steps": 150, "max_count": 8, "progress_interval_s": 1, "preview_interval_s": 2}
    write(root, "models", {"use": use, "models": models})
    write(root, "bot_config", {"imagine": limits})
    # A video is planned as its published model would be: on a smaller card it needs much host RAM,
    # which a machine that runs tests may not have.
    cards = [
        {"name": "NVIDIA GeForce RTX 4070", "memory": "12 GiB"},
        {"name": "NVIDIA GeForce RTX 4090", "memory": "24 GiB"},
    ]
    write(root, "vram_config", {"telemetry": {"simulated_cards": cards}})
    with running_demo(root / "data", "--config", str(root / "config")) as running:
        yield running


@pytest.fixture
def painter(chromium, imagine_demo):
    with chat_page(chromium, imagine_demo.url) as opened:
        yield opened


def write(root, name, content):
    (root / "config" / f"{name}.yaml").write_text(yaml.safe_dump(content))


def ask(page, words, pattern=MADE):
    """The text of the answer to a command, once it matches."""
    before = page.answers().count()
    page.send(words)
    return page.wait_for_text(pattern, since=before, patience_s=LOADING_S)


def file_of(page):
    """SHA-256 of the newest answer's picture, as the page has it."""
    address = page.answers().last.locator("img").first.evaluate("i => i.src")
    return hashlib.sha256(page.page.request.get(address).body()).hexdigest()


def press(page, label):
    page.answers().last.get_by_role("button", name=label, exact=True).click()


def test_a_picture_of_the_right_size_comes_with_all_that_makes_it_again(painter):
    text = ask(painter, "!imagine a castle --seed 7")
    assert f"seed 7 · {SIDE_PX}x{SIDE_PX} · " in text
    assert "(simulated) · tiny-sd" in text
    assert painter.picture_size(painter.answers().last) == (SIDE_PX, SIDE_PX)
    first = file_of(painter)

    ask(painter, "!imagine a castle --seed 7")
    assert file_of(painter) == first
    ask(painter, "!imagine a castle --seed 8 --size 96x64")
    assert painter.picture_size(painter.answers().last) == (96, 64)
    assert file_of(painter) != first
    painter.screenshot("imagine")


def test_progress_is_shown_with_a_preview_and_stop_ends_it(painter):
    text = ask(painter, f"!imagine a dragon {LONG}", r"step \d+/\d{4} · about \d+ (s|min) left")
    assert "(simulated)" in text
    painter.answers().last.locator("img").first.wait_for()
    painter.screenshot("imagine-progress")
    press(painter, "Stop")
    painter.wait_for_text("⏹️ stopped")
    # The worker is free: the next one has not waited for the rest of 1,200 steps.
    waited = re.search(r"waited (\d+) s", ask(painter, "!imagine a cat --seed 1"))
    assert waited is None or int(waited[1]) < STOPPED_WITHIN_S


def test_the_buttons_under_a_picture_make_others_of_it(painter):
    ask(painter, "!imagine a tower --seed 5")
    before = painter.answers().count()
    press(painter, "Same seed, larger")
    larger = painter.wait_for_text(MADE, since=before)
    assert "seed 5 · 96x96" in larger
    before = painter.answers().count()
    painter.answers().last.get_by_label("Variations…").select_option("3")
    several = painter.wait_for_text(r"seeds \d+ to \d+ · 3 pictures", since=before)
    assert "3 pictures of 96x96" in several
    painter.screenshot("imagine-variations")


def test_what_does_not_fit_is_made_smaller_only_after_a_question(painter):
    text = ask(painter, "!imagine a valley --seed 3 --size 256", "Make it smaller")
    assert "256x256 is more than my model is set up for. It would go as 128x128" in text
    assert "resolution 256x256 → 128x128 (loss: visible)" in text
    painter.screenshot("imagine-smaller")
    press(painter, "Make it smaller")
    text = painter.wait_for_text(r"seed 3 · 128x128", patience_s=LOADING_S)
    assert "resolution 256x256 → 128x128" in text
    assert painter.picture_size(painter.answers().last) == (128, 128)


def test_the_slash_command_takes_its_options(painter):
    before = painter.answers().count()
    composer = painter.page.get_by_test_id("composer")
    composer.press_sequentially("/imagine", delay=30)
    painter.page.get_by_test_id("command-picker").wait_for()
    composer.press("Enter")
    painter.page.get_by_label(re.compile("prompt")).fill("a lighthouse")
    painter.page.get_by_label(re.compile("seed")).fill("12")
    painter.screenshot("imagine-slash")
    painter.page.get_by_test_id("command-use").click()
    painter.wait_for_text(r"a lighthouse.*seed 12 ·", since=before)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("!imagine a castle --size 100x100", "multiples of 8"),
        ("!imagine a castle --steps 0", "0 steps"),
        ("!imagine a castle --size 10000", "each side has 32 to 2048"),
        ("!imagine " + "x" * 1500, "at most 1,000"),
    ],
)
def test_what_can_not_be_made_gets_one_line(painter, words, line):
    assert ask(painter, words, line)


def test_a_video_comes_as_a_file_that_plays(painter):
    text = ask(painter, "!animate a river --seed 2")
    assert "(simulated) · tiny-wan" in text
    file = painter.answers().last.get_by_test_id("attachment-file")
    video = painter.page.request.get(file.evaluate("a => a.href")).body()
    assert video[4:8] == b"ftyp", "an MP4 file"
    painter.screenshot("animate")


def test_the_demo_ships_no_picture_model_and_says_what_to_get(page):
    text = ask(page, "!imagine a castle", "I can't make pictures yet")
    assert re.search(r"choose .*set use\.imagine: ", text)
    ask(page, "!animate a castle", "I can't make videos yet: no model is chosen")
