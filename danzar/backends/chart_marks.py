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
}
# Shares of the width: marks closer than this do not get a name each, or even belong together.
_NAME_SHARE: Final = 0.11
_NEAR_SHARE: Final = 0.03
_NAMED: Final = 2


def draw_marks(plot: Axes, marks: Sequence[ChartMark], request: DrawChart, total: float) -> None:
    """Draw each above a line at its time, and name them; ``total`` is the card's size in GiB."""
    named_until = float("-inf")
    for group in _grouped(marks, request):
        x = group[0].at_s - request.now_s
        for mark in group:
            _draw_mark(plot, mark, mark.at_s - request.now_s, total)
        if x >= named_until:
            _name(plot, group, request, total)
            named_until = x + _NAME_SHARE * request.span_s


def _grouped(marks: Sequence[ChartMark], request: DrawChart) -> list[list[ChartMark]]:
    """Those of one kind that follow each other closely belong together."""
    left_s = request.now_s - request.span_s
    groups: list[list[ChartMark]] = []
    for mark in sorted(marks, key=lambda m: m.at_s):
        last = groups[-1][-1] if groups else None
        near_s = _NEAR_SHARE * request.span_s
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


def _names(group: Sequence[ChartMark]) -> str:
    names = list(dict.fromkeys(mark.text for mark in group))
    more = f" +{len(names) - _NAMED}" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _name(plot: Axes, group: Sequence[ChartMark], request: DrawChart, total: float) -> None:
    """Beside the marks, on the side where there is room."""
    first, last = group[0].at_s - request.now_s, group[-1].at_s - request.now_s
    at_edge = last > -2 * _NAME_SHARE * request.span_s
    plot.annotate(
        _names(group),
        (first if at_edge else last, total * 1.085),
        (-10 if at_edge else 10, 0),
        textcoords="offset points",
        color=MARKS[group[0].kind][1],
        fontsize=SMALL_PT,
        va="center",
        ha="right" if at_edge else "left",
        bbox={"boxstyle": "square,pad=0.12", "facecolor": PLOT, "linewidth": 0},
        zorder=7,
    )
