"""The picture itself, drawn by the real library."""

import io

import numpy as np
import pytest
from PIL import Image

from danzar.backends.chart import draw_chart
from danzar.backends.chart_marks import MARKS
from danzar.backends.media import MediaBackend, MediaSettings
from danzar.errors import BadInput
from danzar.units import GIB
from danzar.workers.chart import CardSeries, ChartMark, DrawChart

NOW_S = 1_700_000_000.0
OWN, FOREIGN = (86, 180, 233), (230, 159, 0)


def card(used_gib, own_gib, *, marks=(), simulated=True, title="cuda:0 · RTX 4070") -> CardSeries:
    count = len(used_gib)
    return CardSeries(
        title=title,
        simulated=simulated,
        total_bytes=12 * GIB,
        at_s=tuple(NOW_S - 600 + 600 * n / max(1, count - 1) for n in range(count)),
        used_bytes=tuple(None if u is None else round(u * GIB) for u in used_gib),
        own_bytes=tuple(round(o * GIB) for o in own_gib),
        marks=tuple(marks),
    )


def chart(*cards, **changes) -> Image.Image:
    options = {"now_s": NOW_S, "span_s": 600.0, "warning_pct": 90.0, "critical_pct": 95.0}
    drawn = draw_chart(DrawChart(cards=cards, **{**options, **changes}))
    picture = Image.open(io.BytesIO(drawn.png)).convert("RGB")
    assert picture.size == (drawn.width, drawn.height)
    return picture


def near(picture, colour, tolerance=45):
    """How many pixels look like the colour, drawn over the dark plot."""
    distances = np.linalg.norm(np.asarray(picture, dtype=float) - colour, axis=2)
    return int((distances < tolerance).sum())


def test_the_share_of_danzar_and_of_others_is_as_large_as_it_was():
    own = chart(card([8.0] * 20, [8.0] * 20))
    half = chart(card([8.0] * 20, [4.0] * 20))
    others = chart(card([8.0] * 20, [0.0] * 20))
    assert near(own, OWN) > 1.8 * near(half, OWN) > 10_000
    assert near(others, OWN) < 5_000
    assert near(others, (182, 127, 9)) > near(half, (182, 127, 9)) > 5_000


def test_each_card_gets_its_plot_and_the_width_stays():
    one = chart(card([1.0] * 3, [1.0] * 3))
    two = chart(card([1.0] * 3, [1.0] * 3), card([2.0] * 3, [1.0] * 3))
    assert one.width == two.width == 1200
    assert two.height > one.height


def test_levels_are_drawn_where_they_are_configured():
    with_critical = chart(card([1.0] * 3, [0.0] * 3))
    without = chart(card([1.0] * 3, [0.0] * 3), critical_pct=None)
    red = (255, 107, 94)
    assert near(with_critical, red) > 500
    assert near(without, red) < 50


@pytest.mark.parametrize("kind", sorted(MARKS))
def test_every_kind_of_step_is_marked_in_its_colour(kind):
    marks = [ChartMark(NOW_S - 300, kind, "yolo")]
    colour = tuple(int(MARKS[kind][1][i : i + 2], 16) for i in (1, 3, 5))
    plain = chart(card([0.0] * 3, [0.0] * 3))
    marked = chart(card([0.0] * 3, [0.0] * 3, marks=marks))
    assert near(marked, colour) > near(plain, colour) + 100


def test_what_is_unknown_leaves_a_gap():
    whole = chart(card([6.0] * 9, [6.0] * 9))
    broken = chart(card([6.0] * 3 + [None] * 3 + [6.0] * 3, [6.0] * 3 + [0.0] * 3 + [6.0] * 3))
    assert near(broken, OWN) < 0.8 * near(whole, OWN)


def test_hundreds_of_marks_and_long_names_are_drawn():
    marks = [ChartMark(NOW_S - n, "load", f"model-with-a-long-name-{n}") for n in range(300)]
    assert chart(card([1.0] * 50, [1.0] * 50, marks=marks)).width == 1200


@pytest.mark.parametrize(
    "series", [card([], []), card([None, None], [0.0, 0.0]), card([1.0], [1.0])]
)
def test_a_past_that_has_hardly_begun_is_drawn(series):
    assert chart(series).height > 300


def test_nothing_to_draw_is_bad_input():
    with pytest.raises(BadInput, match="no card"):
        draw_chart(DrawChart((), NOW_S, 600.0, 90.0))


def test_the_media_engine_draws_charts():
    request = DrawChart((card([1.0, 2.0], [1.0, 1.0]),), NOW_S, 60.0, 90.0)
    (drawn,) = MediaBackend(MediaSettings()).run(request, lambda: False)
    assert drawn.png.startswith(b"\x89PNG")
