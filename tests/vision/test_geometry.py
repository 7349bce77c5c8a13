from hypothesis import given
from hypothesis import strategies as st

from danzar.vision.geometry import overlap, scale_box

sizes = st.integers(1, 5000)
coordinates = st.floats(-100, 6000, allow_nan=False)


def test_a_box_comes_back_in_pixels_of_the_original():
    assert scale_box((10, 20, 30, 40), 2.0, 3.0, 1000, 1000) == (20, 60, 60, 120)


@given(st.tuples(coordinates, coordinates, coordinates, coordinates), sizes, sizes)
def test_a_scaled_box_is_always_inside_the_original(box, width, height):
    x1, y1, x2, y2 = scale_box(box, 1.7, 0.3, width, height)
    assert 0 <= x1 <= width
    assert 0 <= x2 <= width
    assert 0 <= y1 <= height
    assert 0 <= y2 <= height


def test_overlap_is_a_share_of_the_smaller_box():
    assert overlap((0, 0, 100, 100), (10, 10, 20, 20)) == 1.0
    assert overlap((0, 0, 10, 10), (5, 0, 15, 10)) == 0.5
    assert overlap((0, 0, 10, 10), (20, 20, 30, 30)) == 0.0
    assert overlap((0, 0, 0, 0), (0, 0, 10, 10)) == 0.0
