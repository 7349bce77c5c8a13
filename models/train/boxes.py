"""Which boxes a frame has: the one rule for training and for held-out frames.

A box is the extent of an object's visible pixels in the game's own label buffer. It is left out

* when it is less than ``MIN_HEIGHT`` high or ``MIN_WIDTH`` wide once the picture is 320 wide,
* when under ``MIN_FILL`` of it are the object's pixels (seen through a grating or past a corner),
* when the object's pixels are on average darker than ``MIN_LUMA`` of 255: nobody could see it,
* when it is a spectre, which the game draws as a shimmer.
"""

import numpy as np
from doom import Box, Session

CLASSES = ("health_bar", "minimap", "boss", "player", "enemy")
BOSSES = frozenset({"Cyberdemon", "SpiderMastermind"})
PLAYERS = frozenset({"ScriptedMarine"})
UNSEEN = frozenset({"Spectre"})
SAVED_WIDTH = 320
MIN_HEIGHT, MIN_WIDTH, MIN_FILL, MIN_LUMA = 10.0, 5.0, 0.25, 14.0

LabelledBox = tuple[str, Box]


def class_of(name: str, category: str, third_person: bool) -> str | None:
    """The detector's class for a game object; ``None`` for what it does not look for."""
    if name in PLAYERS or (category == "Self" and third_person):
        return "player"
    if name in BOSSES:
        return "boss"
    if category == "Monster" and name not in UNSEEN and not name.startswith("Dead"):
        return "enemy"
    return None


def object_boxes(
    session: Session, screen: np.ndarray, hidden: Box | None = None
) -> list[LabelledBox]:
    """Boxes of everything alive in view, in pixels; ``hidden`` is covered by an inset map."""
    state = session.state
    buffer = state.labels_buffer.copy()
    buffer[session.layout.view_height() :] = 0
    if hidden is not None:
        x1, y1, x2, y2 = (round(edge) for edge in hidden)
        buffer[y1:y2, x1:x2] = 0
    found = []
    for label in state.labels:
        name = class_of(label.object_name, label.object_category, session.third_person)
        box = _visible_box(buffer == label.value, screen) if name else None
        if name and box:
            found.append((name, box))
    return found


def _visible_box(mask: np.ndarray, screen: np.ndarray) -> Box | None:
    rows, columns = np.nonzero(mask)
    if not len(rows):
        return None
    x1, x2 = columns.min(), columns.max() + 1
    y1, y2 = rows.min(), rows.max() + 1
    scale = SAVED_WIDTH / mask.shape[1]
    big_enough = (y2 - y1) * scale >= MIN_HEIGHT and (x2 - x1) * scale >= MIN_WIDTH
    filled = len(rows) / ((x2 - x1) * (y2 - y1)) >= MIN_FILL
    lit = screen[rows, columns].mean() >= MIN_LUMA
    return (float(x1), float(y1), float(x2), float(y2)) if big_enough and filled and lit else None
