"""Take a small part of a split along: ``python models/train/sample.py FRAMES/heldout OUT 100``.

Copies frames spread evenly over those that the figures count, with ``frames.jsonl``.
"""

import argparse
import json
import shutil
from pathlib import Path

from concepts import SITUATIONS
from yolo import usable


def main() -> None:
    """Write the sample; the situation of each frame is written out, as the CLIP test reads it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("frames", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("count", type=int)
    wanted = parser.parse_args()
    lines = (wanted.frames / "frames.jsonl").read_text().splitlines()
    menus = [frame for frame in map(json.loads, lines) if frame["shown"] == "menu"]
    frames = usable(wanted.frames) + menus
    wanted.out.mkdir(parents=True, exist_ok=True)
    chosen = [frames[n * len(frames) // wanted.count] for n in range(wanted.count)]
    with (wanted.out / "frames.jsonl").open("w") as out:
        for frame in chosen:
            shutil.copy(wanted.frames / frame["file"], wanted.out)
            frame["situation"] = next(c.name for c in SITUATIONS if c.is_true(frame))
            out.write(json.dumps(frame) + "\n")


if __name__ == "__main__":
    main()
