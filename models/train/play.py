"""Play a held-out map with a simple agent and record it: ``python models/train/play.py out.mp4``.

The level's own monsters are removed; whenever none is in view for a second the script summons one
before the agent, which turns to it, keeps its distance and shoots. Nobody helps the agent: it is
hit, and its health falls. The first map and seed of ``--maps`` in which enemies stay in view and
health gets low is written, with ``OUT.json`` beside it (health and boxes of every frame).
"""

import argparse
import json
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import vizdoom as vzd
from boxes import LabelledBox, object_boxes
from doom import MAPS, Layout, Session

TICS_PER_FRAME = 2
FRAMES_PER_S = 35 / TICS_PER_FRAME
LOW_HEALTH = 40
CLEAR_HEIGHT_PX = (70, 330)  # an enemy this high in the picture is plain to see
VISITORS = ("Zombieman", "ShotgunGuy", "DoomImp", "DoomImp")
Shot = tuple[np.ndarray, int, list[LabelledBox]]


class Agent:
    """Turns to the largest enemy in view, keeps its distance and shoots; else looks around."""

    def __init__(self, session: Session, rng: np.random.Generator) -> None:
        self.session, self.rng = session, rng
        self.idle_frames = 0

    def act(self) -> None:
        """One decision, for ``TICS_PER_FRAME``."""
        target = self._target_in_view()
        self.idle_frames = 0 if target else self.idle_frames + 1
        if target is None:
            self.session.step(TICS_PER_FRAME, forward=6, turn=2)
        else:
            self._fight(*target)

    def _target_in_view(self) -> tuple[float, float] | None:
        width, height = self.session.layout.size
        boxes = object_boxes(self.session, self.session.state.screen_buffer)
        alive = [box for label, box in boxes if label in {"enemy", "boss"}]
        if not alive:
            return None
        x1, y1, x2, y2 = max(alive, key=lambda box: box[3] - box[1])
        return (x1 + x2) / 2 / width - 0.5, (y2 - y1) / height

    def _fight(self, offset: float, size: float) -> None:
        forward = 6 if size < 0.2 else -14 if size > 0.4 else 0
        fires = abs(offset) < 0.06 and self.rng.random() < 0.15
        turn = float(np.clip(offset * 24, -4, 4))
        strafe = 4 * math.sin(self.session.state.tic / 25)
        self.session.step(TICS_PER_FRAME, forward=forward, right=strafe, turn=turn, attack=fires)


def play(map_name: str, seed: int, seconds: float, size: str = "640X480") -> list[Shot]:
    """Frames with health and boxes; shorter if the agent dies."""
    shots: list[Shot] = []
    with Session(map_name, Layout(size), seed, skill=2) as session:
        rng = np.random.default_rng(seed)
        _begin(session, rng)
        agent = Agent(session, rng)
        while len(shots) < seconds * FRAMES_PER_S:
            tic = session.state.tic
            if agent.idle_frames >= FRAMES_PER_S:
                session.command(f"summon {rng.choice(VISITORS)}")
                agent.idle_frames = 0
            agent.act()
            if session.state.tic < tic:  # died: a new game began
                break
            screen = session.screen()
            health = int(session.value(vzd.GameVariable.HEALTH))
            health_bar = session.layout.health_box()
            boxes = object_boxes(session, screen)
            shots.append((screen, health, [("health_bar", health_bar), *boxes]))
    return shots


def _begin(session: Session, rng: np.random.Generator) -> None:
    session.command("con_midtime 0", "cl_showsecretmessage 0", "gamma 1.3", "kill monsters")
    session.step(10)
    places = [o for o in session.state.objects if o.name != "DoomPlayer"]
    choice = rng.choice(len(places), min(10, len(places)), replace=False)
    spots = [(places[n].position_x, places[n].position_y) for n in choice]
    _warp(session, *max(spots, key=lambda spot: _warp(session, *spot)))


def _warp(session: Session, x: float, y: float) -> float:
    """Go there; how light and open it looks."""
    session.command(f"warp {int(x)} {int(y)}")
    session.step(4)
    session.face_openness()
    return min(float(session.screen().mean()), 70.0) * min(session.depth_ahead(), 40.0)


def count_clear(shots: list[Shot]) -> int:
    """Frames with an enemy that is plain to see."""
    return sum(
        any(
            label == "enemy" and CLEAR_HEIGHT_PX[0] <= box[3] - box[1] <= CLEAR_HEIGHT_PX[1]
            for label, box in boxes
        )
        for *_, boxes in shots
    )


def is_good(shots: list[Shot], seconds: float) -> bool:
    """Long enough, an enemy plain to see for 55 % of it, health under ``LOW_HEALTH`` for 3 s."""
    low = sum(0 < health < LOW_HEALTH for _, health, _ in shots)
    long_enough = len(shots) >= 0.9 * seconds * FRAMES_PER_S
    return long_enough and count_clear(shots) >= 0.55 * len(shots) and low >= 3 * FRAMES_PER_S


def write_clip(shots: list[Shot], path: Path, bit_rate: int) -> None:
    """H.264 in MP4, playable in a browser, and the truth beside it."""
    height, width = shots[0][0].shape[:2]
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=Fraction(35, TICS_PER_FRAME))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.bit_rate = bit_rate
        for screen, *_ in shots:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(screen, format="rgb24")))
        container.mux(stream.encode(None))


def write_truth(shots: list[Shot], path: Path) -> None:
    """A list with one object a frame: its time in seconds, health, and boxes in pixels."""
    rows = [
        {
            "s": round(n / FRAMES_PER_S, 2),
            "health": health,
            "boxes": [{"label": name, "box": [round(edge) for edge in box]} for name, box in boxes],
        }
        for n, (_, health, boxes) in enumerate(shots)
    ]
    path.write_text("[\n" + ",\n".join(map(json.dumps, rows)) + "\n]\n")


def main() -> None:
    """Try maps and seeds until one makes a good clip."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--maps", nargs="*", default=MAPS["heldout"])
    parser.add_argument("--seeds", type=int, default=12)
    parser.add_argument("--seconds", type=float, default=26)
    parser.add_argument("--bit-rate", type=int, default=1_050_000)
    wanted = parser.parse_args()
    for seed in range(wanted.seeds):
        for map_name in wanted.maps:
            shots = play(map_name, seed, wanted.seconds)
            lowest = min((health for _, health, _ in shots), default=0)
            clear = count_clear(shots)
            print(f"{map_name} {seed}: {len(shots)} frames, {clear} with an enemy, {lowest}")
            if is_good(shots, wanted.seconds):
                write_clip(shots, wanted.out, wanted.bit_rate)
                write_truth(shots, wanted.out.with_suffix(".json"))
                return


if __name__ == "__main__":
    main()
