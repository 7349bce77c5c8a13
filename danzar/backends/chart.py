"""Cards over time as a picture: what is Danzar's, what is others', the levels, what happened.

matplotlib without ``pyplot``, whose global state is not for threads. Colours are told apart by the
colour-blind too (Okabe and Ito), on Discord's dark background.
"""

import gc
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from danzar.backends.chart_marks import MARKS, PLOT, SMALL_PT, draw_marks
from danzar.errors import BadInput
from danzar.workers.chart import CardSeries, DrawChart, DrawnChart

_GIB: Final = 1024**3
_DPI: Final = 160
_WIDTH_IN: Final = 7.5
_CARD_IN: Final = 2.75
_EDGE_IN: Final = 1.3

_PAPER: Final = "#2b2d31"
_INK: Final = "#f2f3f5"
_MUTED: Final = "#b5bac1"
_GRID: Final = "#3f4147"
_OWN: Final = "#56b4e9"
_FOREIGN: Final = "#e69f00"
_WARNING: Final = "#f0e442"
_CRITICAL: Final = "#ff6b5e"
_TITLE_PT: Final = 14.5
_TEXT_PT: Final = 13
_MOST_TICKS: Final = 5
_LEGEND_COLUMNS: Final = 3
# From which span on times are told in which unit, and what that is in seconds.
_UNITS: Final = ((6 * 3600.0, 3600.0, "h"), (120.0, 60.0, "min"), (0.0, 1.0, "s"))
# matplotlib's text engine keeps state of its own, and fonts for each thread: all charts in one.
_artist = ThreadPoolExecutor(1, "charts")


def draw_chart(request: DrawChart) -> DrawnChart:
    """The chart.

    Raises:
        BadInput: There is nothing to draw.
    """
    if not request.cards or request.span_s <= 0:
        raise BadInput("There is no card to draw.")
    return _artist.submit(_draw, request).result()


def _draw(request: DrawChart) -> DrawnChart:
    figure = _figure(request)
    out = io.BytesIO()
    FigureCanvasAgg(figure).print_png(out)  # type: ignore[no-untyped-call]
    width, height = figure.canvas.get_width_height()
    del figure
    # Figure, canvas and axes hold each other: left alone, each chart keeps 5 MB of pixels until
    # Python happens to collect its oldest garbage.
    gc.collect()
    return DrawnChart(width, height, out.getvalue())


def _figure(request: DrawChart) -> Figure:
    count = len(request.cards)
    height_in = _EDGE_IN + count * _CARD_IN
    figure = Figure(figsize=(_WIDTH_IN, height_in), dpi=_DPI, facecolor=_PAPER)
    plots: list[Axes] = list(figure.subplots(count, 1, sharex=True, squeeze=False)[:, 0])
    figure.subplots_adjust(
        left=0.11,
        right=0.975,
        top=1 - 0.45 / height_in,
        bottom=1.25 / height_in,
        hspace=0.65 / (_CARD_IN - 0.65),
    )
    for plot, card in zip(plots, request.cards, strict=True):
        _draw_card(plot, card, request)
    _label_time(plots[-1], request.span_s)
    _add_legend(figure, request, height_in)
    return figure


def _draw_card(plot: Axes, card: CardSeries, request: DrawChart) -> None:
    total = card.total_bytes / _GIB
    _style(plot, request.span_s, total)
    x = [at_s - request.now_s for at_s in card.at_s]
    used = [float("nan") if b is None else b / _GIB for b in card.used_bytes]
    own = [min(o / _GIB, u) for o, u in zip(card.own_bytes, used, strict=True)]
    plot.fill_between(x, 0, own, color=_OWN, alpha=0.85, linewidth=0, zorder=2)
    plot.fill_between(
        x,
        own,
        used,
        facecolor=_FOREIGN,
        alpha=0.75,
        linewidth=0,
        hatch="//",
        edgecolor=PLOT,
        zorder=2,
    )
    plot.plot(x, used, color=_INK, linewidth=1.8, solid_joinstyle="round", zorder=4)
    plot.axhline(total, color=_MUTED, linewidth=1.2, zorder=3)
    for pct, colour in _levels(request):
        plot.axhline(
            total * pct / 100, color=colour, linewidth=1.6, linestyle=(0, (5, 3)), zorder=5
        )
    draw_marks(plot, card.marks, request, total)
    _title(plot, card, used)


def _levels(request: DrawChart) -> list[tuple[float, str]]:
    levels = [(request.warning_pct, _WARNING)]
    if request.critical_pct is not None:
        levels.append((request.critical_pct, _CRITICAL))
    return levels


def _title(plot: Axes, card: CardSeries, used: Sequence[float]) -> None:
    mark = "  (simulated)" if card.simulated else ""
    total = card.total_bytes / _GIB
    plot.set_title(
        f"{card.title}{mark}", loc="left", color=_INK, fontsize=_TITLE_PT, weight="bold", pad=9
    )
    known = next((u for u in reversed(used) if u == u), None)
    now = "unknown" if known is None else f"now {known:.1f} of {total:.1f} GB"
    plot.set_title(now, loc="right", color=_MUTED, fontsize=_TEXT_PT, pad=9)


def _style(plot: Axes, span_s: float, total: float) -> None:
    plot.set_facecolor(PLOT)
    plot.set_xlim(-span_s, 0)
    plot.set_ylim(0, total * 1.17)
    plot.set_yticks([total * share for share in (0, 0.25, 0.5, 0.75, 1)])
    plot.set_yticklabels(["0", "", f"{total / 2:.3g}", "", f"{total:.3g} GB"])
    plot.tick_params(colors=_MUTED, labelsize=_TEXT_PT, length=0, pad=6)
    plot.grid(color=_GRID, linewidth=0.8, zorder=0)
    for spine in plot.spines.values():
        spine.set_visible(False)


def _label_time(plot: Axes, span_s: float) -> None:
    unit_s, unit = next((s, word) for least_s, s, word in _UNITS if span_s >= least_s)
    step = _step(span_s / unit_s)
    ticks = [-step * n * unit_s for n in range(int(span_s / unit_s / step + 1e-9) + 1)]
    plot.set_xticks(ticks)
    labels = [f"\N{MINUS SIGN}{-t / unit_s:.0f} {unit}" if t else "now" for t in ticks]
    for label, x in zip(plot.set_xticklabels(labels), ticks, strict=True):
        at_left = x <= -span_s
        label.set_horizontalalignment("right" if x == 0 else "left" if at_left else "center")


def _step(span: float) -> float:
    """A round step that gives few enough ticks."""
    return next((s for s in (1, 2, 5, 10, 15, 30, 60, 120, 240) if span / s <= _MOST_TICKS), 1440)


def _add_legend(figure: Figure, request: DrawChart, height_in: float) -> None:
    entries: list[Any] = [
        Patch(facecolor=_OWN, alpha=0.85, label="Danzar"),
        Patch(
            facecolor=_FOREIGN,
            alpha=0.75,
            hatch="//",
            edgecolor=PLOT,
            label="other programs, driver",
        ),
        Line2D([], [], color=_INK, linewidth=1.8, label="in use"),
        *_level_entries(request),
        *_mark_entries(request),
    ]
    figure.legend(
        handles=entries,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.0),
        ncols=_LEGEND_COLUMNS,
        frameon=False,
        labelcolor=_INK,
        fontsize=_TEXT_PT,
        handlelength=1.5,
        columnspacing=1.6,
    )
    if request.note:
        figure.text(
            0.975,
            0.02 / height_in,
            request.note,
            color=_MUTED,
            fontsize=SMALL_PT,
            ha="right",
            va="bottom",
        )


def _level_entries(request: DrawChart) -> list[Line2D]:
    names = ("warning", "critical")
    return [
        Line2D(
            [], [], color=colour, linewidth=1.6, linestyle=(0, (5, 3)), label=f"{name} {pct:g} %"
        )
        for name, (pct, colour) in zip(names, _levels(request), strict=False)
    ]


def _mark_entries(request: DrawChart) -> list[Line2D]:
    present = {mark.kind for card in request.cards for mark in card.marks}
    return [
        Line2D([], [], color=colour, marker=shape, linestyle="", markersize=9, label=name)
        for kind, (shape, colour, name) in MARKS.items()
        if kind in present
    ]
