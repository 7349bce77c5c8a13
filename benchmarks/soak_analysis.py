"""How fast something grows, how sure that is, and what that says against a limit. Pure.

Samples that follow each other are alike, so a line through all of them looks far surer of itself
than it is. Hence medians of whole bins are fitted: a few dozen points that hardly know each other.
"""

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

HOUR_S = 3600.0
BIN_S = 300.0
MIN_BINS = 5
MIN_BINS_OF_A_LIFE = 3
_CONFIDENCE = 0.95

Point = tuple[float, float]


class Verdict(StrEnum):
    """What a measured slope says about a limit."""

    MET = "met"
    NOT_MET = "NOT MET"
    OPEN = "no verdict"


@dataclass(frozen=True, slots=True)
class Growth:
    """How something grew, in its unit per hour.

    Attributes:
        least_squares: Slope of the line through one value of each bin.
        low, high: Its 95 % confidence interval.
        theil_sen: Median of the slopes between any two bins: few outliers can't turn it.
        bins: How many there were.
    """

    least_squares: float
    low: float
    high: float
    theil_sen: float
    bins: int


def growth(
    series: Sequence[Sequence[Point]],
    bin_s: float = BIN_S,
    take: Callable[[Sequence[float]], float] = statistics.median,
) -> Growth | None:
    """How something grows; ``None`` where that is too short to say.

    Args:
        series: ``(seconds, value)`` of each life. Lives share one slope and have each their own
            height: where a worker was replaced, the step from one to the next is no growth.
        bin_s: What is taken together.
        take: The value that stands for a bin; ``min`` where work in between comes and goes.
    """
    all_bins = (binned(points, bin_s, take) for points in series)
    lives = [bins for bins in all_bins if len(bins) >= MIN_BINS_OF_A_LIFE]
    count = sum(map(len, lives))
    freedom = count - len(lives) - 1
    if count < MIN_BINS or freedom < 1:
        return None
    slope, error = least_squares([p for bins in lives for p in centred(bins)], freedom)
    margin = student_quantile(_CONFIDENCE, freedom) * error
    return Growth(
        least_squares=slope * HOUR_S,
        low=(slope - margin) * HOUR_S,
        high=(slope + margin) * HOUR_S,
        theil_sen=theil_sen(lives) * HOUR_S,
        bins=count,
    )


def binned(
    points: Sequence[Point],
    bin_s: float,
    take: Callable[[Sequence[float]], float] = statistics.median,
) -> list[Point]:
    """One point for each bin that has any: the median of its times, and what is taken of values."""
    bins: dict[int, list[Point]] = {}
    for at_s, value in points:
        bins.setdefault(int(at_s // bin_s), []).append((at_s, value))
    return [
        (statistics.median(at for at, _ in held), take([value for _, value in held]))
        for _, held in sorted(bins.items())
    ]


def centred(points: Sequence[Point]) -> list[Point]:
    """The same points around their own middle."""
    middle_x = statistics.fmean(x for x, _ in points)
    middle_y = statistics.fmean(y for _, y in points)
    return [(x - middle_x, y - middle_y) for x, y in points]


def least_squares(points: Sequence[Point], freedom: int) -> tuple[float, float]:
    """The slope of the line through centred points, and its standard error."""
    spread = sum(x * x for x, _ in points)
    slope = sum(x * y for x, y in points) / spread
    rest = sum((y - slope * x) ** 2 for x, y in points)
    return slope, math.sqrt(rest / freedom / spread)


def theil_sen(series: Sequence[Sequence[Point]]) -> float:
    """The median of the slopes between any two points of a life."""
    slopes = [
        (y2 - y1) / (x2 - x1)
        for points in series
        for number, (x1, y1) in enumerate(points)
        for x2, y2 in points[number + 1 :]
    ]
    return statistics.median(slopes)


def student_quantile(confidence: float, freedom: int) -> float:
    """The two-sided quantile of Student's t (Cornish-Fisher; within 1 % from 3 degrees on)."""
    z = statistics.NormalDist().inv_cdf((1 + confidence) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3


def below(found: Growth | None, limit: float) -> Verdict:
    """Whether the growth is under a limit, where the confidence interval lets one say so."""
    if found is None:
        return Verdict.OPEN
    if found.high < limit:
        return Verdict.MET
    return Verdict.NOT_MET if found.low > limit else Verdict.OPEN


def worst(verdicts: Sequence[Verdict]) -> Verdict:
    """Of several: met only where all of them are, and there is any."""
    for verdict in (Verdict.NOT_MET, Verdict.OPEN):
        if verdict in verdicts:
            return verdict
    return Verdict.MET if verdicts else Verdict.OPEN
