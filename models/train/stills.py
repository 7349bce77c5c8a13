"""Candidates for sample frames: ``python models/train/stills.py OUT_FOLDER 60``.

Full-size pictures of held-out maps at 640x480 with the status bar, and ``truth.json`` beside them.
"""

import argparse
import json
import random
from pathlib import Path

import cv2
from doom import MAPS, Layout
from frames import play_session


def main() -> None:
    """A few frames of each map."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("count", type=int, help="frames of each map")
    parser.add_argument("--seed", type=int, default=7)
    wanted = parser.parse_args()
    wanted.out.mkdir(parents=True, exist_ok=True)
    truth = {}
    for map_name in MAPS["heldout"]:
        rng = random.Random(f"{map_name}-{wanted.seed}")
        for n, frame in enumerate(play_session(map_name, rng, Layout(), wanted.count)):
            name = f"{map_name}-{n:03}.png"
            cv2.imwrite(str(wanted.out / name), frame.picture[:, :, ::-1])
            truth[name] = {"boxes": frame.boxes, **frame.state}
    (wanted.out / "truth.json").write_text(json.dumps(truth, indent=1))


if __name__ == "__main__":
    main()
