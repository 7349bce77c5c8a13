"""Make labelled frames: ``python models/train/frames.py train 4000 training/frames``.

Writes ``SPLIT/*.jpg`` (320 wide) and ``SPLIT/frames.jsonl``, one line a frame: boxes in pixels of
the saved picture and what the game knew (health, who is in view, menu, map, sky). Runs again add.
"""

import argparse
import json
import random
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import vizdoom as vzd
from boxes import SAVED_WIDTH, LabelledBox, object_boxes
from doom import MAPS, RESOLUTIONS, Box, Layout, Session, wad_of
from scenes import KINDS, MENUS, go_somewhere, prepare, stage
from wad import SkyMap

FRAMES_PER_SESSION = 40
TOO_CLOSE_SHARE = 0.5
KEPT_WITHOUT = 0.12  # of the frames in which nothing came into view
ITEMS = {"Health": "health", "Armor": "armor", "Ammo": "ammo", "Weapon": "weapon", "Key": "key"}


@dataclass
class Frame:
    """A picture with its boxes and what the game knew."""

    picture: np.ndarray
    boxes: list[LabelledBox]
    state: dict[str, object] = field(default_factory=dict)


def capture(session: Session, sky: SkyMap, rng: random.Random) -> Frame:
    """The frame as it is now, perhaps with an inset map, a full map or a menu."""
    shown = rng.choices(("plain", "inset", "map", "menu"), (62, 26, 6, 6))[0]
    if shown == "menu":
        session.command(rng.choice(MENUS))
        session.step(2)
    frame = Frame(session.screen(), [], describe(session, sky))
    if shown == "menu":
        session.command("closemenu")
    inset = _show_map(frame.picture, session, shown, rng)
    if shown in {"plain", "inset"}:
        frame.boxes = object_boxes(session, frame.picture, inset)
    if inset is not None:
        frame.boxes.append(("minimap", inset))
    health = session.layout.health_box()
    if health is not None and shown != "menu":
        frame.boxes.append(("health_bar", health))
    frame.state["shown"] = shown
    frame.state["luma"] = float(frame.picture[: session.layout.view_height()].mean())
    return frame


def describe(session: Session, sky: SkyMap) -> dict[str, object]:
    """What the game knows that a caption may say."""
    items = {ITEMS[o.object_category] for o in session.state.labels if o.object_category in ITEMS}
    x, y = (session.value(v) for v in (vzd.GameVariable.POSITION_X, vzd.GameVariable.POSITION_Y))
    return {
        "map": session.map_name,
        "resolution": session.layout.resolution,
        "hud": session.layout.hud,
        "health": int(session.value(vzd.GameVariable.HEALTH)),
        "armor": int(session.value(vzd.GameVariable.ARMOR)),
        "weapon": int(session.value(vzd.GameVariable.SELECTED_WEAPON)),
        "third_person": session.third_person,
        "outdoors": sky.is_outdoors(x, y),
        "items": sorted(items),
        "shooting": any(o.object_category == "Projectile" for o in session.state.labels),
    }


def _show_map(picture: np.ndarray, session: Session, shown: str, rng: random.Random) -> Box | None:
    """Draw the automap over the picture; its box, or ``None`` when it is not shown."""
    if shown not in {"inset", "map"}:
        return None
    width = picture.shape[1]
    view = session.layout.view_height()
    automap = _zoomed(session.state.automap_buffer, rng.uniform(0.2, 0.6))
    if shown == "map":
        picture[:view] = cv2.resize(automap, (width, view), interpolation=cv2.INTER_AREA)
        return 0.0, 0.0, float(width), float(view)
    side = int(rng.uniform(0.14, 0.32) * width)
    high = min(int(side * rng.uniform(0.7, 1.0)), view - 8)
    x = rng.choice((4, width - side - 4)) + rng.randint(-3, 3)
    y = rng.choice((4, 4, view - high - 4)) + rng.randint(-3, 3)
    inset = cv2.resize(automap, (side, high), interpolation=cv2.INTER_AREA)
    below = picture[y : y + high, x : x + side]
    below[:] = cv2.addWeighted(inset, rng.uniform(0.7, 1.0), below, 0.2, 0)
    if rng.random() < 0.6:
        edge = [rng.randrange(256) for _ in range(3)]
        cv2.rectangle(picture, (x, y), (x + side - 1, y + high - 1), edge, rng.randint(1, 3))
    return float(x), float(y), float(x + side), float(y + high)


def _zoomed(automap: np.ndarray, share: float) -> np.ndarray:
    height, width = automap.shape[:2]
    half_x, half_y = int(width * share / 2), int(height * share / 2)
    middle_x, middle_y = width // 2, height // 2
    return automap[middle_y - half_y : middle_y + half_y, middle_x - half_x : middle_x + half_x]


def play_session(
    map_name: str,
    rng: random.Random,
    layout: Layout | None = None,
    count: int = FRAMES_PER_SESSION,
    kinds: Mapping[str, float] = KINDS,
) -> list[Frame]:
    """Up to ``count`` frames of one map in one layout; ``kinds`` weighs what is staged."""
    hud = rng.choices(("bar", "minimal", "none"), (65, 25, 10))[0]
    layout = layout or Layout(rng.choice(RESOLUTIONS), hud)
    sky = SkyMap(wad_of(map_name), map_name)
    frames = []
    with Session(map_name, layout, rng.randrange(1 << 20)) as session:
        prepare(session, rng)
        while len(frames) < count:
            go_somewhere(session, rng)
            kind = rng.choices(list(kinds), list(kinds.values()))[0]
            stage(session, kind, rng)
            frame = capture(session, sky, rng)
            if is_worth_keeping(frame, kind, rng):
                frames.append(frame)
    return frames


def is_worth_keeping(frame: Frame, kind: str, rng: random.Random) -> bool:
    """Not a creature right before the eyes; and, mostly, something in view where it was meant."""
    if frame.state["shown"] in {"menu", "map"}:
        return True
    height, width = frame.picture.shape[:2]
    alive = [box for label, box in frame.boxes if label in {"enemy", "boss", "player"}]
    share = max(((x2 - x1) * (y2 - y1) for x1, y1, x2, y2 in alive), default=0) / (height * width)
    if share > TOO_CLOSE_SHARE:
        return False
    return bool(alive) or kind == "empty" or rng.random() < KEPT_WITHOUT


def save(frame: Frame, folder: Path, name: str, rng: random.Random) -> None:
    """Write the picture at ``SAVED_WIDTH`` and append its line."""
    height, width = frame.picture.shape[:2]
    scale = SAVED_WIDTH / width
    size = (SAVED_WIDTH, round(height * scale))
    how = rng.choice((cv2.INTER_AREA, cv2.INTER_LINEAR))
    small = cv2.resize(frame.picture, size, interpolation=how)
    quality = [cv2.IMWRITE_JPEG_QUALITY, rng.randint(80, 96)]
    cv2.imwrite(str(folder / f"{name}.jpg"), small[:, :, ::-1], quality)
    boxes = [[label, *(round(edge * scale, 1) for edge in box)] for label, box in frame.boxes]
    line = {"file": f"{name}.jpg", "size": size, "boxes": boxes, **frame.state}
    with (folder / "frames.jsonl").open("a") as lines:
        lines.write(json.dumps(line) + "\n")


def main() -> None:
    """Go round the split's maps until there are enough frames."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("split", choices=MAPS)
    parser.add_argument("count", type=int)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    wanted = parser.parse_args()
    kinds = {kind: KINDS[kind] for kind in wanted.kinds}
    rng = random.Random(f"{wanted.split}-{wanted.seed}")
    folder = wanted.out / wanted.split
    folder.mkdir(parents=True, exist_ok=True)
    done = 0
    while done < wanted.count:
        for map_name in rng.sample(MAPS[wanted.split], len(MAPS[wanted.split])):
            for frame in play_session(map_name, rng, kinds=kinds)[: wanted.count - done]:
                save(frame, folder, f"{map_name}-{wanted.seed}-{done:05}", rng)
                done += 1
        print(f"{done} frames", file=sys.stderr)


if __name__ == "__main__":
    main()
