"""An incident as a message in Discord. Pure."""

from collections.abc import Iterable, Sequence
from datetime import datetime

import discord

from danzar.core.pressure import Level
from danzar.explain.memory_text import format_duration
from danzar.incidents.digest import incident_line, muted_line
from danzar.incidents.record import IncidentRecord, Mute, TimelineStep

MARKS = {Level.NORMAL: "✅", Level.WARNING: "⚠️", Level.CRITICAL: "🚨", Level.OOM: "🚨"}
COLOURS = {
    Level.NORMAL: discord.Colour.green(),
    Level.WARNING: discord.Colour.orange(),
    Level.CRITICAL: discord.Colour.red(),
    Level.OOM: discord.Colour.red(),
}
_CALMING = "⏳"
_WORDS = {
    Level.NORMAL: "calm",
    Level.WARNING: "warning",
    Level.CRITICAL: "critical",
    Level.OOM: "about to run out",
}
_LONGEST_TEXT = 3000
_LONGEST_FIELD = 1024
_MOST_STEPS = 6
_NEWEST_FLAPS = 2
_MOST_LISTED = 10


def incident_embed(record: IncidentRecord) -> discord.Embed:
    """The incident as it stands: in its level's colour while it lasts, green when it is closed."""
    embed = discord.Embed(
        description=_headline(record)[:_LONGEST_TEXT],
        colour=discord.Colour.blurple() if _is_calming(record) else COLOURS[record.level],
    )
    for name, text in _fields(record):
        embed.add_field(name=name, value=text[:_LONGEST_FIELD], inline=False)
    return embed.set_footer(text=f"{_mark(record.number)}{_state(record)}")


def is_about(message: discord.Message, number: int) -> bool:
    """Whether a message of Danzar shows that incident."""
    footers = (embed.footer.text or "" for embed in message.embeds)
    return any(footer.startswith(_mark(number)) for footer in footers)


def render_incidents(
    lasting: Sequence[IncidentRecord],
    over: Sequence[IncidentRecord],
    mutes: Sequence[Mute],
    now: datetime,
) -> str:
    """Those that last, the last ones that are over, and what is muted; for ``!gpu incidents``."""
    lines = [f"{MARKS[r.worst]} {_line(r, now)}" for r in lasting[:_MOST_LISTED]]
    if len(lasting) > _MOST_LISTED:
        lines.append(f"and {len(lasting) - _MOST_LISTED} more")
    closed = [f"✅ {_line(r, now)}" for r in over[:_MOST_LISTED]]
    parts = ["**Open**", *(lines or ["None: all is well."])]
    if closed:
        parts += ["", "**Closed lately**", *closed]
    if mutes:
        parts += ["", *(f"🔕 {muted_line(mute)}" for mute in mutes[:_MOST_LISTED])]
    return "\n".join(parts)


def muted_text(record: IncidentRecord) -> str:
    """What somebody is told who muted it, or let it be heard again."""
    if not record.muted:
        return f"🔔 Incident {record.number} is heard again."
    return (
        f"🔕 No new messages about incident {record.number} {_until(record)}. It is still "
        "followed, and in the digest. `!gpu incidents unmute` takes it back."
    )


def _mark(number: int) -> str:
    return f"Incident {number} · "


def _headline(record: IncidentRecord) -> str:
    if record.closed_at is not None:
        return f"{MARKS[Level.NORMAL]} {record.text}. {_lasted(record)}"
    if record.calm_since is not None:
        return f"{_CALMING} Calm since {_time(record.calm_since)}: {record.text}"
    return f"{MARKS[record.level]} {record.text}"


def _lasted(record: IncidentRecord) -> str:
    least = format_duration(record.lasted_s(record.seen_at))
    if not record.ended_unseen:
        return f"It lasted {least}."
    most = format_duration((record.seen_at - record.opened_at).total_seconds())
    return f"It ended while Danzar was not looking: it lasted {least} to {most}."


def _fields(record: IncidentRecord) -> Iterable[tuple[str, str]]:
    if record.closed_at is not None or record.calm_since is not None:
        yield "What it was", record.worst_text
    if record.grew:
        yield "Who grew", record.grew
    if record.done:
        yield "What was done", _done(record)
    yield "Course", _course(record)
    if record.flapping:
        times = record.returns + 1
        come = "It came and went" if record.closed_at else "It comes and goes"
        yield "Flapping", f"{come}: {times} times so far. This message stands for all of them."
    if record.muted:
        yield "Muted", f"🔕 No new messages about it {_until(record)}."


def _done(record: IncidentRecord) -> str:
    lines = [f"{_time(step.at)} {discord.utils.escape_markdown(step.text)}" for step in record.done]
    while len("\n".join(lines)) > _LONGEST_FIELD:
        lines = lines[1:]
    return "\n".join(lines)


def _course(record: IncidentRecord) -> str:
    """When it opened, when it was worst, and how it is now, with what lies in between."""
    steps, worst_at = list(record.timeline), record.worst_at
    newest = _NEWEST_FLAPS if record.flapping else _MOST_STEPS
    left_out = len(steps) > newest + 1
    if left_out:
        steps = [steps[0], *_worst_of(steps[1:], record), *steps[-newest:]]
        steps = list(dict.fromkeys(steps))
    shown = [_step(step, worst=step.at == worst_at and len(steps) > 1) for step in steps]
    if left_out:
        shown.insert(1, "…")
    if record.closed_at is None and record.calm_since is None and len(steps) > 1:
        shown[-1] += " (now)"
    return " → ".join(shown)


def _worst_of(steps: list[TimelineStep], record: IncidentRecord) -> list[TimelineStep]:
    return [step for step in steps if step.at == record.worst_at]


def _step(step: TimelineStep, *, worst: bool) -> str:
    return f"{_time(step.at)} {_WORDS[step.level]}" + (" (worst)" if worst else "")


def _state(record: IncidentRecord) -> str:
    if record.closed_at is not None:
        return "closed"
    return "calming down" if record.calm_since is not None else "open"


def _is_calming(record: IncidentRecord) -> bool:
    return record.calm_since is not None and record.closed_at is None


def _until(record: IncidentRecord) -> str:
    if record.muted_until is None:
        return "until it is over"
    return f"until <t:{int(record.muted_until.timestamp())}:t>"


def _line(record: IncidentRecord, now: datetime) -> str:
    when = record.closed_at or record.opened_at
    word = "ended" if record.closed_at else "began"
    return f"{incident_line(record, now)} ({word} <t:{int(when.timestamp())}:R>)"


def _time(at: datetime) -> str:
    """As each reader's clock shows it."""
    return f"<t:{int(at.timestamp())}:T>"
