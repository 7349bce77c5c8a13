"""Typing wakes the chat model: the page's typing goes through the gateway to the real bot."""

import os
import re
import subprocess
import sys

import pytest

from tests.e2e.conftest import ROOT
from tests.e2e.test_gpu_broker import DETECTOR, RANKER, ask, press, status_port, wait_for_row

pytestmark = [pytest.mark.browser, pytest.mark.model, pytest.mark.process]


def test_typing_loads_the_chat_model_before_the_question_is_sent(demo, page):
    # While the models of the start load, nothing is loaded ahead.
    wait_for_row(page, DETECTOR, "idle")
    wait_for_row(page, RANKER, "idle")
    ask(page, "!gpu models", r"smollm2")
    ask(page, "!gpu unload smollm2", r"would come back")
    press(page, "Unload", r"is not loaded")
    # The page says every eight seconds that somebody types; the last time was a moment ago.
    page.page.get_by_test_id("composer").press_sequentially("@Danzar what is", delay=800)
    wait_for_row(page, "smollm2", r"cuda:0")
    ask(page, "@Danzar what is 1 + 1?", r"Stop|cuda:\d")
    text = ask(page, "!gpu prefetch", r"Loaded ahead:")
    assert re.search(r"Asked for in time: [1-9]", text)
    page.picture_of_last("gpu-prefetch")
    done = subprocess.run(
        [sys.executable, "-m", "danzar", "gpu", "prefetch"],
        cwd=ROOT,
        env={**os.environ, "DANZAR_BOT__HTTP__PORT": status_port(demo)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "Loaded ahead:" in done.stdout
