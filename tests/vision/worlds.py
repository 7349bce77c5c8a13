"""Small values that the vision tests share."""

import asyncio
from collections.abc import Callable

from danzar.vision.observations import Detection, Hud, Insight, Observation, TextLine
from danzar.vision.stages import DETECT, RANK, READ
from danzar.workers.contract import Frame, Picture

NO_HUD = Hud()


def grey_picture(level: int = 100, width: int = 64, height: int = 48) -> Picture:
    return Picture(width, height, "rgb", bytes([level]) * (width * height * 3))


def frame(level: int = 100, number: int = 0, *, at_s: float | None = None) -> Frame:
    return Frame(grey_picture(level), float(number) if at_s is None else at_s, number)


def observation(
    *,
    detections: tuple[Detection, ...] = (),
    insights: tuple[Insight, ...] = (),
    text: tuple[TextLine, ...] = (),
    hud: Hud = NO_HUD,
    ran: tuple[str, ...] = (DETECT, RANK, READ),
) -> Observation:
    return Observation(
        width=300,
        height=300,
        detections=detections,
        insights=insights,
        text=text,
        hud=hud,
        device="cpu",
        seconds=dict.fromkeys(ran, 0.1),
    )


async def until(condition: Callable[[], bool]) -> None:
    """Let other tasks run until the condition holds."""
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)
