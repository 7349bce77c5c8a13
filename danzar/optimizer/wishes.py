"""What a command on this machine may ask the running bot about the optimizer, and its answers.

The answer is lines of JSON: any number of ``Progress``, then one ``Answered`` or ``Refused``.
"""

from typing import Any, Literal

import msgspec

PATH = "/v1/optimizer"


class Wish(msgspec.Struct, frozen=True, tag_field="ask", forbid_unknown_fields=True):
    """Base of all."""


class Status(Wish, frozen=True, tag="status"):
    """Everything at one instant."""


class History(Wish, frozen=True, tag="history"):
    """What was done."""


class Optimize(Wish, frozen=True, tag="optimize"):
    """Give back what is cached and unused."""


class SetBatchSize(Wish, frozen=True, tag="set-batch-size"):
    """Keep batches at ``size``; ``None``: decide again."""

    size: int | None


class SetMonitoring(Wish, frozen=True, tag="set-monitoring"):
    """Act by itself, or not."""

    on: bool


class Configure(Wish, frozen=True, tag="configure"):
    """Change settings by field; ``action`` is what the audit calls it."""

    values: dict[str, Any]
    action: Literal["configure", "enable", "disable", "import-config"] = "configure"


class Benchmark(Wish, frozen=True, tag="benchmark"):
    """Measure the vision models' throughput for about ``duration_s``."""

    duration_s: float


AnyWish = Status | History | Optimize | SetBatchSize | SetMonitoring | Configure | Benchmark


class Line(msgspec.Struct, frozen=True, tag_field="line"):
    """Base of what is answered."""


class Progress(Line, frozen=True, tag="progress"):
    """How far it is: ``done`` is 0 to 1."""

    done: float
    text: str


class Answered(Line, frozen=True, tag="answer"):
    """It was done; this came of it."""

    body: dict[str, Any]


class Refused(Line, frozen=True, tag="refused"):
    """It was not done, and why."""

    reason: str


AnyLine = Progress | Answered | Refused
