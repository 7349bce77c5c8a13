"""What the live stream has told, and so what is new to whom. Pure.

Each section and each row carries the number of the tick at which it came. Whoever has seen tick 7
gets, in one event, every section that changed after it and every row that came after it: a client
that is slow misses no state, and costs no memory of its own.
"""

from collections import deque
from collections.abc import Iterable, Mapping

# Of decisions and log lines, that a page gets when it opens.
MOST_ROWS = 300


class Board:
    """The newest state as JSON texts, so that it is written once for all clients."""

    def __init__(self) -> None:
        self.tick = 0
        self._sections: dict[str, tuple[int, str]] = {}
        self._rows: dict[str, deque[tuple[int, str]]] = {}
        self._at_s = 0.0

    def put(
        self, at_s: float, sections: Mapping[str, str], rows: Mapping[str, Iterable[str]]
    ) -> None:
        """Begin the next tick.

        Args:
            at_s: Seconds since 1970.
            sections: Each one's newest state, as JSON.
            rows: What came to each list since the last tick, oldest first, as JSON.
        """
        self.tick += 1
        self._at_s = at_s
        for name, text in sections.items():
            if name not in self._sections or self._sections[name][1] != text:
                self._sections[name] = (self.tick, text)
        for name, texts in rows.items():
            kept = self._rows.setdefault(name, deque(maxlen=MOST_ROWS))
            kept.extend((self.tick, text) for text in texts)

    def since(self, seen: int) -> str:
        """One JSON object with what is new to one who has seen tick ``seen``; 0: all of it."""
        fields = {"at_s": f"{self._at_s:.3f}", "full": "false" if seen else "true"}
        fields |= {name: text for name, (tick, text) in self._sections.items() if tick > seen}
        for name, rows in self._rows.items():
            new = [text for tick, text in rows if tick > seen]
            if new or not seen:
                fields[name] = f"[{','.join(new)}]"
        return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"
