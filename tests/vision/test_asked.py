"""In which order pictures go into batches."""

import pytest

from danzar.core.asker import Asker, RequestClass
from danzar.core.queue import QueueRules, default_bounds_s
from danzar.errors import QueueFull
from danzar.vision.asked import MAX_WAITING, AskedPictures, asker_of

ANN, BOB = Asker(RequestClass.VISION, "ann"), Asker(RequestClass.VISION, "bob")
WATCH = Asker(RequestClass.WATCH, "ann")


def frames(count, at_s=0.0):
    """As many frames of as many watches."""
    made = AskedPictures()
    for number in range(count):
        made.add(f"frame {number}", Asker(RequestClass.WATCH, f"owner {number}"), at_s)
    return made


def test_a_persons_picture_never_waits_behind_a_row_of_frames():
    waiting = frames(MAX_WAITING - 1)
    waiting.add("picture", ANN, 1.0)

    assert waiting.take(4, 2.0)[0] == "picture"


def test_frames_go_on_however_many_pictures_people_post():
    waiting = frames(1)
    for number in range(20):
        waiting.add(f"picture {number}", Asker(RequestClass.VISION, str(number)), 40.0)

    assert "frame 0" in waiting.take(2, 70.0)


def test_persons_take_turns_in_a_batch():
    waiting = AskedPictures()
    for number in range(3):
        waiting.add(f"ann {number}", ANN, 0.0)
    waiting.add("bob", BOB, 0.1)

    assert set(waiting.take(2, 1.0)) == {"ann 0", "bob"}


def test_a_person_may_have_just_so_many_waiting():
    waiting = AskedPictures()
    waiting.rules = QueueRules(default_bounds_s(), max_per_person=2)
    waiting.add("one", ANN, 0.0)
    waiting.add("two", ANN, 0.0)

    with pytest.raises(QueueFull, match="2 of your pictures wait already, and 2 may"):
        waiting.add("three", ANN, 0.0)
    assert waiting.add("other", BOB, 0.0) is None


def test_in_a_full_row_whoever_has_most_gives_way_to_who_has_none():
    waiting = frames(MAX_WAITING - 2)
    waiting.add("ann 0", ANN, 0.0)
    waiting.add("ann 1", ANN, 0.0)

    assert waiting.add("bob", BOB, 0.0) == "ann 1"
    with pytest.raises(QueueFull, match="64 pictures wait already"):
        waiting.add("cy", Asker(RequestClass.VISION, "cy"), 0.0)


@pytest.mark.parametrize(
    ("askers", "expected"),
    [
        pytest.param([WATCH, ANN], ANN, id="the most urgent class, the same person"),
        pytest.param([WATCH, BOB], Asker(RequestClass.VISION), id="of several persons"),
        pytest.param([WATCH], WATCH, id="alone"),
    ],
)
def test_for_whom_a_batch_is_asked(askers, expected):
    assert asker_of(askers) == expected
