"""What is left of a chart that was drawn."""

import gc
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from matplotlib.figure import Figure

from danzar.backends.chart import draw_chart
from danzar.workers.chart import CardSeries, DrawChart


def figures() -> int:
    # Not isinstance: that asks each thing for its class, and some warn when they are asked.
    return sum(issubclass(type(thing), Figure) for thing in gc.get_objects())


def draw():
    card = CardSeries("RTX 4070", True, 12 << 30, (0.0, 1.0), (1 << 30, 2 << 30), (1 << 29,) * 2)
    return draw_chart(DrawChart((card,), 1.0, 60.0, 75.0))


def test_a_chart_leaves_no_figure_behind():
    gc.collect()
    before = figures()
    gc.disable()
    try:
        drawn = draw()
        left = figures()
    finally:
        gc.enable()
    assert drawn.png.startswith(b"\x89PNG")
    assert left == before


@pytest.mark.skipif(psutil.WINDOWS, reason="counts file descriptors")
def test_whoever_asks_for_a_chart_no_further_font_is_opened():
    draw()
    before = psutil.Process().num_fds()
    for number in range(5):
        with ThreadPoolExecutor(1, f"asker-{number}") as asker:
            assert asker.submit(draw).result().png
    assert psutil.Process().num_fds() == before
