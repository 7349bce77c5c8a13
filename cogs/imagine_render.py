"""What a request for a picture looks like in the channel, from the queue to the file. Pure."""

from dataclasses import dataclass

import msgspec

from cogs.queue_text import duration, waiting_line
from cogs.reply_text import FOOTER_MARK
from cogs.vision_render import inert
from danzar.inference import Placed, QueuePlace
from danzar.pictures.limits import PictureRequest
from danzar.pictures.made import File, Made
from danzar.pictures.progress import Steps, bar
from danzar.pictures.room import NoRoom, Smaller
from danzar.pictures.sizes import Size
from danzar.units import format_size
from danzar.workers.contract import GenerateImages

_LONGEST_PROMPT = 400
_LONGEST = 1900
_WORTH_SAYING_S = 1.0


@dataclass(frozen=True, slots=True)
class Looking:
    """It is found out whether there is room."""


@dataclass(frozen=True, slots=True)
class WaitingForRoom:
    """The person chose to wait; ``most_s`` seconds at most."""

    most_s: float


@dataclass(frozen=True, slots=True)
class Queued:
    """It waits for its turn; ``place`` is ``None`` until that is known."""

    place: QueuePlace | None = None


@dataclass(frozen=True, slots=True)
class Working:
    """It is being made; ``steps`` is ``None`` before the first one is done."""

    placed: Placed
    steps: Steps | None = None


@dataclass(frozen=True, slots=True)
class Stopped:
    """A person stopped it, or did not want what was possible; ``why`` in a few words."""

    why: str = "stopped"


@dataclass(frozen=True, slots=True)
class Failed:
    """It broke off; ``line`` says why."""

    line: str


@dataclass(frozen=True, slots=True)
class Ended:
    """It is made; ``left_out`` files were too large for this channel."""

    made: Made
    left_out: tuple[File, ...] = ()


Phase = Looking | Smaller | NoRoom | WaitingForRoom | Queued | Working | Stopped | Failed | Ended


def render(request: PictureRequest, phase: Phase) -> str:
    """The message; it formats and pings nothing of what a person wrote."""
    mark = "🖼️" if isinstance(phase, Ended) else "🎨"
    prompt = " ".join(request.prompt.split())
    shown = prompt if len(prompt) <= _LONGEST_PROMPT else prompt[: _LONGEST_PROMPT - 1] + "…"
    return f"{mark} **{inert(shown)}**\n{_state(request, phase)}"[:_LONGEST]


def size_text(request: PictureRequest) -> str:
    """``512x512``, or with how many."""
    size = str(Size(request.width, request.height))
    if isinstance(request, GenerateImages) and request.count > 1:
        return f"{request.count} pictures of {size}"
    return size


def _state(request: PictureRequest, phase: Phase) -> str:  # noqa: PLR0911 (one for each phase)
    match phase:
        case Looking():
            return f"⏳ {size_text(request)}: looking for room…"
        case Queued(place):
            return "⏳ In the queue…" if place is None else waiting_line(place)
        case Working(placed, steps):
            return _working(placed, steps)
        case WaitingForRoom(most_s):
            return f"⏳ Waiting for room, for {duration(most_s)} at most."
        case Smaller():
            return _smaller(request, phase)
        case NoRoom(text):
            return f"❌ {text}. Room may come back when a game or another model ends."
        case Stopped(why):
            return f"{FOOTER_MARK}⏹️ {why}"
        case Failed(line):
            return line
        case Ended(made, left_out):
            return _ended(made, left_out)


def _working(placed: Placed, steps: Steps | None) -> str:
    if steps is None:
        return f"🖌️ Starting on {placed.device_text}…"
    left = "" if steps.left_s is None else f" · about {duration(steps.left_s)} left"
    return f"`{bar(steps)}` step {steps.done}/{steps.total}{left} · {placed.device_text}"


def _smaller(asked: PictureRequest, offer: Smaller) -> str:
    changes = "\n".join(f"- {inert(line)}" for line in offer.lines)
    why = "does not fit just now" if offer.for_now else "is more than my model is set up for"
    return f"🔧 {size_text(asked)} {why}. It would go as {size_text(offer.run.request)}:\n{changes}"


def _ended(made: Made, left_out: tuple[File, ...]) -> str:
    if not made.files:
        return f"{FOOTER_MARK}⏹️ stopped before the first picture was done"
    seeds = [file.seed for file in made.files]
    seed = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}"
    facts = [seed, size_text(msgspec.structs.replace(made.request, **_count(made)))]
    if made.steps is not None:
        facts.append(f"{made.steps} steps")
    facts += [f"{made.seconds:.1f} s", made.placed.device_text, inert(made.placed.model)]
    if made.waited_s >= _WORTH_SAYING_S:
        facts.append(f"waited {duration(made.waited_s)}")
    large = [f"{f.name} has {format_size(len(f.data))}: too large here" for f in left_out]
    lines = [" · ".join(facts), made.placed.degraded, *made.notes, *large]
    return "\n".join(FOOTER_MARK + " ".join(line.split()) for line in lines if line)


def _count(made: Made) -> dict[str, int]:
    return {"count": len(made.files)} if isinstance(made.request, GenerateImages) else {}
