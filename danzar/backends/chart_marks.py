"""What happened on a card, marked in its chart: shapes, colours and names."""

from collections.abc import Sequence
from typing import Final

from matplotlib.axes import Axes

from danzar.workers.chart import ChartMark, DrawChart

PLOT: Final = "#1e1f22"
SMALL_PT: Final = 11.5
# Marker, colour and the word in the legend.
MARKS: Final[dict[str, tuple[str, str, str]]] = {
    "load": ("^", "#3ddc97", "load"),
    "unload": ("v", "#b5bac1", "unload"),
    "evict": ("v", "#cc79a7", "eviction"),
    "yield": ("v", "#e69f00", "makes way"),
    "failed": ("X", "#ff6b5e", "failed"),
    "lost": ("P", "#ff6b5e", "lost"),
}
# Shares of the plot's width: of one letter, from a mark to its name, and what belongs together.
_LETTER: Final = 0.0136
_BESIDE: Final = 0.02
_NEAR: Final = 0.03
_NAMED: Final = 2

Span = tuple[float, float]


def draw_marks(plot: Axes, marks: Sequence[ChartMark], request: DrawChart, total: float) -> None:
    """Draw each above a line at its time, and name them; ``total`` is the card's size in GiB."""
    groups = _grouped(marks, request)
    taken = [(x - _BESIDE / 2, x + _BESIDE / 2) for x in _places(groups, request)]
    for group in groups:
        for mark in group:
            _draw_mark(plot, mark, mark.at_s - request.now_s, total)
        for text in _names(group):
            places = _places([group], request)
            span = _free_span(places[0], places[-1], len(text) * _LETTER, taken)
            if span is not None:
                taken.append(span)
                _name(plot, text, group[0], span[0] * request.span_s - request.span_s, total)
                break


def _places(groups: Sequence[Sequence[ChartMark]], request: DrawChart) -> list[float]:
    """Where the marks are, 0 at the left edge and 1 at the right one."""
    marks = (mark for group in groups for mark in group)
    return [1 + (mark.at_s - request.now_s) / request.span_s for mark in marks]


def _free_span(first: float, last: float, width: float, taken: Sequence[Span]) -> Span | None:
    """Room for a name after the last mark of its group or before the first one."""
    for left in (last + _BESIDE, first - _BESIDE - width):
        right = left + width
        inside = left >= 0 and right <= 1
        if inside and all(right <= start or left >= end for start, end in taken):
            return left, right
    return None


def _grouped(marks: Sequence[ChartMark], request: DrawChart) -> list[list[ChartMark]]:
    """Those of one kind that follow each other closely belong together."""
    left_s = request.now_s - request.span_s
    groups: list[list[ChartMark]] = []
    for mark in sorted(marks, key=lambda m: m.at_s):
        last = groups[-1][-1] if groups else None
        near_s = _NEAR * request.span_s
        if not left_s <= mark.at_s <= request.now_s:
            continue
        if last is not None and last.kind == mark.kind and mark.at_s - last.at_s <= near_s:
            groups[-1].append(mark)
        else:
            groups.append([mark])
    return groups


def _draw_mark(plot: Axes, mark: ChartMark, x: float, total: float) -> None:
    shape, colour, _ = MARKS[mark.kind]
    plot.plot([x, x], [0, total * 1.03], color=colour, linewidth=1.1, alpha=0.65, zorder=5)
    plot.plot([x], [total * 1.085], marker=shape, color=colour, markersize=10, zorder=6)


def _names(group: Sequence[ChartMark]) -> list[str]:
    """What the marks may be called, best first."""
    names = list(dict.fromkeys(mark.text for mark in group))
    whole = ", ".join(names)
    short = [f"{', '.join(names[:n])} +{len(names) - n}" for n in (_NAMED, 1) if len(names) > n]
    return [whole, *short] if len(names) <= _NAMED else short


def _name(plot: Axes, text: str, mark: ChartMark, x: float, total: float) -> None:
    plot.text(
        x,
        total * 1.085,
        text,
        color=MARKS[mark.kind][1],
        fontsize=SMALL_PT,
        va="center",
        ha="left",
        zorder=7,
    )
