"""What a benchmark of the vision models found. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field

from danzar.inference import Placed


@dataclass(frozen=True, slots=True)
class BenchRow:
    """One model at one batch size.

    Attributes:
        seconds: That the requests took, all together.
        pictures_per_s: ``None`` where nothing was measured; ``skipped`` says why.
        p50_s: Half of the batches took at most this long; ``None`` likewise.
    """

    model: str
    device: str | None
    simulated: bool
    batch: int
    pictures: int
    seconds: float
    pictures_per_s: float | None
    p50_s: float | None
    skipped: str | None


@dataclass(frozen=True, slots=True)
class BenchChoice:
    """What the optimizer had chosen for one model, beside the best size that was measured.

    Attributes:
        share_of_best: Throughput at the chosen size over the best one's; ``None``: not measured.
    """

    model: str
    chosen: int
    best: int | None
    share_of_best: float | None


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Everything that was measured; ``picture`` says of what, ``strategy`` under which one."""

    duration_s: float
    picture: str
    strategy: str
    rows: tuple[BenchRow, ...]
    choices: tuple[BenchChoice, ...]


@dataclass(slots=True)
class Tally:
    """One model at one size while it is measured: what each batch took."""

    model: str
    batch: int
    seconds: list[float] = field(default_factory=list)
    placed: Placed | None = None
    skipped: str | None = None

    def row(self) -> BenchRow:
        """What came of it."""
        total_s = sum(self.seconds)
        pictures = self.batch * len(self.seconds)
        return BenchRow(
            model=self.model,
            device=self.placed.device if self.placed else None,
            simulated=self.placed.simulated if self.placed else False,
            batch=self.batch,
            pictures=pictures,
            seconds=total_s,
            pictures_per_s=pictures / total_s if total_s else None,
            p50_s=statistics.median(self.seconds) if self.seconds else None,
            skipped=None if self.seconds else self.skipped,
        )


def judge_choice(model: str, chosen: int, rows: Sequence[BenchRow]) -> BenchChoice:
    """How good the optimizer's choice is, by the model's own rows."""
    rates = {r.batch: r.pictures_per_s for r in rows if r.pictures_per_s is not None}
    if not rates:
        return BenchChoice(model, chosen, None, None)
    best = max(rates, key=lambda batch: rates[batch])
    own = rates.get(chosen)
    return BenchChoice(model, chosen, best, None if own is None else own / rates[best])


def bench_text(result: BenchResult) -> str:
    """One line for the audit."""
    told = (
        f"{c.model}: chosen {c.chosen}, best {c.best}"
        + ("" if c.share_of_best is None else f" ({c.share_of_best:.0%} of its throughput)")
        for c in result.choices
    )
    return f"{result.duration_s:.0f} s; {'; '.join(told)}"


def sizes_to_try(smallest: int, largest: int, chosen: int) -> tuple[int, ...]:
    """Powers of two between the limits, the limits, and what the optimizer chose; rising."""
    powers = (2**n for n in range(largest.bit_length()))
    tried = {smallest, largest, chosen, *(p for p in powers if smallest <= p <= largest)}
    return tuple(sorted(tried))
