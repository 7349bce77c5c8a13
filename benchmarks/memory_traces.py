"""Memory of a process over a day, as it is: made up from what workers' memory really does.

Each trace is seeded. In it: a base; a sawtooth of garbage that is collected (period, height and
phase vary); noise of each reading; steps up when something is used for the first time (page cache,
lazily made buffers) and down when the system takes it back; loads and unloads; batch changes; and,
where asked for, a leak from some moment on, even or in lumps.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass

MB = 1e6
INTERVAL_S = 5.0
DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One reading: what is held, and what is hosted."""

    at_s: float
    used_bytes: int
    hosts: frozenset[str]


@dataclass(frozen=True, slots=True)
class LeakPlan:
    """A leak of so many bytes a minute from a moment on; in lumps where ``lump_s`` is set."""

    bytes_per_min: float
    from_s: float
    lump_s: float = 0.0

    def leaked(self, at_s: float) -> float:
        """Bytes that are lost by then."""
        past_s = max(0.0, at_s - self.from_s)
        if self.lump_s:
            past_s -= past_s % self.lump_s
        return past_s * self.bytes_per_min / 60


class _World:
    """What a process does in a day."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._saws = [
            (dice.uniform(5, 80), dice.uniform(0, 150) * MB, dice.random()) for _ in range(2)
        ]
        self._noise_bytes = dice.uniform(0.5, 8) * MB
        self._steps_bytes = 0.0
        self._models: dict[str, float] = {"a": dice.uniform(100, 900) * MB}
        self._batch = 8
        self._per_picture_bytes = dice.uniform(2, 30) * MB
        self._kept_bytes = 0.0

    def step(self) -> None:
        """Let something happen, perhaps."""
        dice = self._dice
        if dice.random() < INTERVAL_S / 3600:
            self._steps_bytes += dice.uniform(-150, 200) * MB
            self._steps_bytes = min(600 * MB, max(-100 * MB, self._steps_bytes))
        if dice.random() < INTERVAL_S / 2400:
            self._swap()
        if dice.random() < INTERVAL_S / 900:
            self._batch = dice.choice((1, 2, 4, 8, 16))

    def _swap(self) -> None:
        name = self._dice.choice("bcd")
        if name in self._models:
            held = self._models.pop(name)
            self._kept_bytes = min(60 * MB, self._kept_bytes + held * self._dice.uniform(0, 0.02))
        else:
            self._models[name] = self._dice.uniform(50, 900) * MB

    @property
    def hosts(self) -> frozenset[str]:
        """The models, and the batch of the first."""
        return frozenset((*self._models, f"a@{self._batch}"))

    def used_bytes(self, at_s: float) -> float:
        """What it holds then."""
        saws = sum(h * ((at_s / p + phase) % 1.0) for p, h, phase in self._saws)
        held = sum(self._models.values()) + self._batch * self._per_picture_bytes
        noise = self._dice.gauss(0, self._noise_bytes)
        return 800 * MB + held + saws + self._steps_bytes + self._kept_bytes + noise


def trace(seed: int, *, hours: float = 24.0, leak: LeakPlan | None = None) -> Iterator[Sample]:
    """A process's day, a reading each 5 s."""
    world, at_s = _World(random.Random(seed)), 0.0
    while at_s < hours * 3600:
        world.step()
        used = world.used_bytes(at_s) + (leak.leaked(at_s) if leak else 0.0)
        yield Sample(at_s, max(0, round(used)), world.hosts)
        at_s += INTERVAL_S
