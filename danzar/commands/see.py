"""``danzar see``: look at one picture and answer a question about it."""

import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from danzar.chat.question import Answered, Question
from danzar.commands.services import services_once
from danzar.commands.terminal import table
from danzar.config.settings import Config
from danzar.errors import BadPicture, DanzarError
from danzar.services import Services
from danzar.units import format_size
from danzar.vision.facts import facts, measured_answer
from danzar.vision.observations import Observation
from danzar.vision.rules import low_limits

_CHANNEL_ID = 1
_ANSWER = "answer"


@dataclass(frozen=True, slots=True)
class Sight:
    """What one picture showed.

    Attributes:
        answer: ``None`` where nothing was asked.
        answer_device: Where the chat model ran; ``None`` likewise.
        seconds: Per stage, ``answer`` and ``total`` among them.
    """

    observation: Observation
    annotated_jpeg: bytes | None
    answer: str | None
    answer_device: str | None
    seconds: dict[str, float]
    notes: tuple[str, ...]


async def see(config: Config, image: Path, question: str | None) -> Sight:
    """Look at the picture, and answer.

    Raises:
        BadPicture: The file is none, or too large.
        danzar.errors.DanzarError: The models could not do it.
    """
    data = read_picture(image, config.bot.pictures.max_bytes)
    started_s = time.monotonic()
    async with services_once(config) as services:
        seen = await services.vision.observe(data)
        answered = await _answer(services, question, seen.observation) if question else None
    seconds = {**seen.observation.seconds}
    if answered is not None:
        seconds[_ANSWER] = answered.waited_s + answered.seconds
    seconds["total"] = time.monotonic() - started_s
    return Sight(
        observation=seen.observation,
        annotated_jpeg=seen.annotated_jpeg,
        answer=None if answered is None else answered.text.strip(),
        answer_device=None if answered is None else answered.placed.device_text,
        seconds=seconds,
        notes=(*seen.observation.notes, *(answered.notes if answered else ())),
    )


def read_picture(image: Path, limit_bytes: int) -> bytes:
    """The file's bytes.

    Raises:
        BadPicture: It can't be read, or is larger than allowed.
    """
    try:
        with image.open("rb") as stream:
            data = stream.read(limit_bytes + 1)
    except OSError as exc:
        raise BadPicture(f"{image}: can't be read: {exc.strerror}") from exc
    if len(data) > limit_bytes:
        raise BadPicture(
            f"{image}: is larger than {format_size(limit_bytes)} (pictures.max_bytes in "
            "bot_config.yaml)"
        )
    return data


def save_annotated(sight: Sight, file: Path) -> None:
    """Write the picture with its boxes.

    Raises:
        DanzarError: There is none, or the file can't be written.
    """
    if sight.annotated_jpeg is None:
        raise DanzarError("the boxes could not be drawn, so there is nothing to save")
    try:
        file.write_bytes(sight.annotated_jpeg)
    except OSError as exc:
        raise DanzarError(f"{file}: can't be written: {exc.strerror}") from exc


def sight_json(sight: Sight) -> dict[str, Any]:
    """The contract of ``danzar see --json``; see docs/json.md."""
    seen = sight.observation
    return {
        "width": seen.width,
        "height": seen.height,
        "detections": [
            {"label": d.label, "confidence": round(d.confidence, 4), "box": list(d.box)}
            for d in seen.detections
        ],
        "insights": [{"concept": i.concept, "score": round(i.score, 4)} for i in seen.insights],
        "text": [
            {"text": t.text, "confidence": round(t.confidence, 4), "box": list(t.box)}
            for t in seen.text
        ],
        "hud": {"health": seen.hud.health, "armor": seen.hud.armor, "ammo": seen.hud.ammo},
        "answer": sight.answer,
        "device": seen.device,
        "answer_device": sight.answer_device,
        "seconds": {stage: round(value, 4) for stage, value in sight.seconds.items()},
        "notes": list(sight.notes),
    }


def print_sight(sight: Sight, console: Console) -> None:
    """The same for a person."""
    seen = sight.observation
    found = table("what", "how sure", "where (x1 y1 x2 y2)")
    for d in seen.detections:
        found.add_row(d.label, f"{d.confidence:.0%}", " ".join(str(edge) for edge in d.box))
    for i in seen.insights:
        found.add_row(i.concept, f"{i.score:.0%}", "the whole picture")
    for t in seen.text:
        found.add_row(f"text: {t.text}", f"{t.confidence:.0%}", " ".join(str(e) for e in t.box))
    console.print(found if found.row_count else "Nothing that the models know was seen.")
    hud = {"health": seen.hud.health, "armor": seen.hud.armor, "ammo": seen.hud.ammo}
    read = ", ".join(f"{name} {value}" for name, value in hud.items() if value is not None)
    console.print(f"\nDisplay: {read or 'no number was read'}")
    if sight.answer is not None:
        console.print(f"\n{sight.answer}\n", style="bold")
    for note in sight.notes:
        console.print(f"Note: {note}")
    stages = ", ".join(f"{stage} {value:.2f} s" for stage, value in sight.seconds.items())
    console.print(f"On {seen.device}. {stages}", style="dim")


async def _answer(services: Services, text: str, observation: Observation) -> Answered:
    profile = services.config.active_profile
    question = Question(
        channel_id=_CHANNEL_ID,
        message_id=1,
        author="you",
        text=text,
        facts=facts(observation, profile.hud, low_limits(profile.rules), text),
    )
    async with aclosing(services.chat.answer(question)) as events:
        async for event in events:
            if isinstance(event, Answered):
                return _measured_first(event, question)
    raise DanzarError("the chat model ended without an answer; try again")


def _measured_first(answered: Answered, question: Question) -> Answered:
    """What was measured stands before the model's words, which may phrase it wrongly."""
    measured = measured_answer(question.facts, question.text)
    return replace(answered, text=f"{measured}\n{answered.text}") if measured else answered
