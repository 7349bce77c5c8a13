"""What is shown of looked-at pictures. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import discord

from danzar.config.profile import HudField, HudName, Profile
from danzar.vision.facts import facts, hud_line, scene_line, seen_line, text_line
from danzar.vision.observations import Observation
from danzar.vision.rules import low_limits

_DESCRIPTION_LIMIT = 4096
_LINE_LIMIT = 350
_COLOUR = discord.Colour.blurple()


@dataclass(frozen=True, slots=True)
class Looked:
    """A picture that was looked at."""

    name: str
    observation: Observation


@dataclass(frozen=True, slots=True)
class NotLooked:
    """A picture that was not, and why; ``line`` may be shown to the person."""

    name: str
    line: str


Look = Looked | NotLooked


@dataclass(frozen=True, slots=True)
class Wording:
    """What the profile says about numbers on the display.

    Attributes:
        limits: Under which each number is low, from the profile's rules.
    """

    fields: Mapping[HudName, HudField] = field(default_factory=dict)
    limits: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, profile: Profile) -> "Wording":
        """The profile's."""
        return cls(profile.hud, low_limits(profile.rules))


def render_facts(looks: Sequence[Look], wording: Wording, question: str) -> tuple[str, ...]:
    """The sentences for the chat model, what was asked for first; several pictures are numbered."""
    told: list[str] = []
    for number, look in enumerate(looks, start=1):
        prefix = f"Picture {number}: " if len(looks) > 1 else ""
        if isinstance(look, NotLooked):
            told.append(f"{prefix}It could not be looked at.")
            continue
        sentences = facts(look.observation, wording.fields, wording.limits, question)
        told += [f"{prefix}{sentence}" for sentence in sentences]
    return tuple(told)


def render_embed(looks: Sequence[Look], wording: Wording, left_out: Sequence[str]) -> discord.Embed:
    """What was seen, where and how fast; one block for each picture."""
    several = len(looks) > 1
    blocks = [_render_look(look, wording, named=several) for look in looks]
    if left_out:
        names = ", ".join(inert(name) for name in left_out)
        blocks.append(f"⚠️ Only the first {len(looks)} pictures were looked at; left out: {names}")
    embed = discord.Embed(description="\n\n".join(blocks)[:_DESCRIPTION_LIMIT], colour=_COLOUR)
    return embed.set_footer(text=_footer([look for look in looks if isinstance(look, Looked)]))


def render_failures(looks: Sequence[Look]) -> str:
    """The message where not one picture could be looked at."""
    return "\n".join(look.line for look in looks if isinstance(look, NotLooked))


def refusal(name: str, reason: str) -> NotLooked:
    """A picture that was not looked at, with its line."""
    return NotLooked(name, f"⚠️ **{inert(name)}**: {cut(reason)}")


def observation_lines(observation: Observation, wording: Wording) -> list[str]:
    """The measured numbers first: they are right however the chat model phrases them."""
    hud = hud_line(observation, wording.fields, wording.limits)
    scene, text = scene_line(observation), text_line(observation)
    lines = [
        f"📟 **{hud}**" if hud else None,
        f"👁️ **Seen:** {cut(seen_line(observation))}",
        f"🧭 **Scene:** {cut(scene)}" if scene else None,
        f"🔤 **Text:** {inert(text)}" if text else None,
        *(f"⚠️ {cut(note)}" for note in observation.notes),
    ]
    return [line for line in lines if line is not None]


def render_seconds(seconds: Mapping[str, float]) -> str:
    """``decode 0.02 s · detect 0.10 s``."""
    return " · ".join(f"{stage} {took:.2f} s" for stage, took in seconds.items())


def _render_look(look: Look, wording: Wording, *, named: bool) -> str:
    if isinstance(look, NotLooked):
        return look.line
    lines = observation_lines(look.observation, wording)
    title = [f"**{inert(look.name)}**"] if named else []
    return "\n".join((*title, *lines))


def _footer(looked: Sequence[Looked]) -> str:
    devices = dict.fromkeys(look.observation.device for look in looked)
    total: dict[str, float] = {}
    for look in looked:
        for stage, took in look.observation.seconds.items():
            total[stage] = total.get(stage, 0.0) + took
    return " · ".join(filter(None, (", ".join(devices), render_seconds(total))))


def inert(text: str) -> str:
    """Text from a stranger (a file's name, what OCR read) that formats and pings nothing."""
    return discord.utils.escape_mentions(discord.utils.escape_markdown(" ".join(text.split())))


def cut(text: str) -> str:
    """The text on one line of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= _LINE_LIMIT else line[: _LINE_LIMIT - 1] + "…"
