"""Turning tokens' bytes into pieces of text worth sending. Pure but for the time it is given."""

import codecs


class TextStream:
    """Collects bytes, keeps back what may still change, and says when enough has come together.

    Kept back: bytes of an unfinished character, and text that may be the beginning of a stop word.
    The first piece leaves at once, later ones at most every ``pause_s`` seconds, which may change.
    """

    def __init__(self, stop: tuple[str, ...], pause_s: float) -> None:
        self._stop = tuple(word for word in stop if word)
        self.pause_s = pause_s
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._text = ""
        self._next_s = 0.0
        self.stopped = False

    def add(self, data: bytes, now_s: float) -> str:
        """The piece to send now, or an empty text. Sets ``stopped`` at a stop word."""
        self._text += self._decoder.decode(data)
        self._cut_at_stop()
        if now_s < self._next_s and not self.stopped:
            return ""
        return self._take(now_s)

    def finish(self) -> str:
        """What is left at the end."""
        if not self.stopped:
            self._text += self._decoder.decode(b"", final=True)
            self._cut_at_stop()
        text, self._text = self._text, ""
        return text

    def _take(self, now_s: float) -> str:
        ready = len(self._text) - (0 if self.stopped else self._kept_back())
        text, self._text = self._text[:ready], self._text[ready:]
        if text:
            self._next_s = now_s + self.pause_s
        return text

    def _cut_at_stop(self) -> None:
        found = [at for word in self._stop if (at := self._text.find(word)) >= 0]
        if found:
            self._text = self._text[: min(found)]
            self.stopped = True

    def _kept_back(self) -> int:
        """Length of the longest end of the text that begins a stop word."""
        longest = 0
        for word in self._stop:
            for length in range(min(len(word) - 1, len(self._text)), longest, -1):
                if self._text.endswith(word[:length]):
                    longest = length
                    break
        return longest
