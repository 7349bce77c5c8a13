"""The chat page as a person uses it."""

import os
import re
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 120
# An answer's last line, "cuda:0 (simulated) · 2.4 s": it comes when the answer has ended. What was
# seen on a picture has seconds as well, and stands there before the answer begins.
DONE = r"(cuda:\d( \(simulated\))?|cpu) · \d+\.\d\d? s"


class ChatPage:
    """Types, clicks and reads; knows nothing of how the page is made but its test ids."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.page.get_by_test_id("composer").wait_for()

    def open(self, channel: str) -> None:
        self.page.get_by_test_id(f"channel-{channel}").click()

    def send(self, text: str) -> None:
        self.page.get_by_test_id("composer").fill(text)
        self.page.get_by_test_id("send").click()

    def attach_sample(self, name: str) -> None:
        self.page.locator(f'[data-testid="sample-frame"][data-name="{name}"]').click()
        self.page.get_by_test_id("ticket").first.wait_for()

    def answers(self) -> Any:
        return self.page.locator('[data-testid="message"][data-author="Danzar"]')

    def last_text(self) -> str:
        count = self.answers().count()
        return str(self.answers().nth(count - 1).inner_text()) if count else ""

    def wait_for_text(self, pattern: str, *, since: int = 0, patience_s: float = PATIENCE_S) -> str:
        """The first answer after the first ``since`` ones whose text matches."""
        until = time.monotonic() + patience_s
        while time.monotonic() < until:
            for text in self.answers().all_inner_texts()[since:]:
                if re.search(pattern, text, re.IGNORECASE | re.DOTALL):
                    return str(text)
            time.sleep(0.1)
        raise AssertionError(f"no answer matches {pattern!r}: {self.answers().all_inner_texts()}")

    def partial_texts(self, since: int, finished: str) -> list[str]:
        """The different texts that the next answer goes through until it matches ``finished``.

        A long one takes several messages.
        """
        seen: list[str] = []
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            text = "\n".join(self.answers().all_inner_texts()[since:])
            if text and (not seen or seen[-1] != text):
                seen.append(text)
            if re.search(finished, text):
                return seen
            time.sleep(0.03)
        raise AssertionError(f"the answer never finished: {seen[-1:]}")

    def picture_size(self, answer: Any) -> tuple[int, int]:
        """Width and height of an answer's first picture, once it is loaded."""
        picture = answer.locator("img").first
        picture.wait_for()
        until = time.monotonic() + PATIENCE_S
        while not picture.evaluate("i => i.complete && i.naturalWidth > 0"):
            assert time.monotonic() < until, "the picture never loaded"
            time.sleep(0.1)
        width, height = picture.evaluate("i => [i.naturalWidth, i.naturalHeight]")
        return int(width), int(height)

    def use_command(self, typed: str) -> None:
        """Choose a slash command from the picker with the keyboard."""
        composer = self.page.get_by_test_id("composer")
        composer.click()
        composer.press_sequentially(typed, delay=30)
        self.page.get_by_test_id("command-picker").wait_for()
        composer.press("Enter")
        use = self.page.get_by_test_id("command-use")
        if use.count():
            use.click()

    def screenshot(self, name: str) -> None:
        """Keep a picture where ``DANZAR_SCREENSHOTS`` says; the README's come from here."""
        folder = os.environ.get("DANZAR_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=str(Path(folder) / f"{name}.png"))

    def picture_of_last(self, name: str, part: str = '[data-testid="embed"]') -> None:
        """Keep a picture of a part of the newest answer alone, in the same place."""
        folder = os.environ.get("DANZAR_SCREENSHOTS")
        if folder:
            shown = self.answers().last.locator(part).first
            shown.screenshot(path=str(Path(folder) / f"{name}.png"))

    def linger(self, seconds: float) -> None:
        """Let time pass where pictures are kept, so that they have something to show."""
        if os.environ.get("DANZAR_SCREENSHOTS"):
            self.page.wait_for_timeout(1000 * seconds)
