"""When the daily digest is due, and what it says. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta

from danzar.broker.news import LoadOutcome, RequestOutcome
from danzar.explain.memory_text import format_duration
from danzar.incidents.day import DayFigures
from danzar.incidents.record import IncidentRecord, Mute
from danzar.local_days import Local
from danzar.units import format_gib

# A digest that is later than this is left out.
CATCH_UP_S = 6 * 3600.0
_MOST_INCIDENTS = 10
# More than this between the start of the figures and 24 hours ago, and it is said.
_WHOLE_DAY_S = 86_400.0 - 900.0


@dataclass(frozen=True, slots=True)
class DigestFacts:
    """All that a digest tells.

    Attributes:
        now: Aware.
        started_at: When this Danzar was started.
        incidents: Those of the last 24 hours, oldest first.
        muted: What is muted now, in words.
    """

    now: datetime
    started_at: datetime
    figures: DayFigures
    incidents: Sequence[IncidentRecord]
    muted: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Section:
    """A heading and its lines."""

    title: str
    text: str


def due_day(now: datetime, at: time, last: date | None, local: Local) -> date | None:
    """The day whose digest is to be sent now; ``None``: none is.

    A time that the clocks skip is taken as the moment after the gap; one that they repeat is the
    first. A day is done once, whatever the clocks do.

    Args:
        now: Aware, local.
        at: The time of day.
        last: The last day that is done.
        local: What a naive local time is in truth.
    """
    for day in (now.date(), now.date() - timedelta(days=1)):
        late_s = (now - local(datetime.combine(day, at))).total_seconds()
        if 0 <= late_s < CATCH_UP_S and (last is None or day > last):
            return day
    return None


def digest_sections(facts: DigestFacts) -> tuple[Section, ...]:
    """The digest, without what has nothing to say."""
    figures = facts.figures
    sections = (
        Section("Running", _running(facts)),
        Section("Requests", _requests(figures)),
        Section("Waits", _waits(figures)),
        Section("Models", _models(figures)),
        Section("Fullest moments", _peaks(figures)),
        Section("Incidents", _incidents(facts)),
    )
    return tuple(section for section in sections if section.text)


def _running(facts: DigestFacts) -> str:
    up_s = (facts.now - facts.started_at).total_seconds()
    text = f"Up for {format_duration(up_s)}."
    if (facts.now - facts.figures.since).total_seconds() < _WHOLE_DAY_S:
        text += f" The figures count since <t:{int(facts.figures.since.timestamp())}:f>."
    return text


def _requests(figures: DayFigures) -> str:
    counts = figures.outcomes
    if not counts:
        return "None."
    answered = ", ".join(f"{kind} {n:,}" for kind, n in figures.answered.items())
    lines = [f"{counts.get(RequestOutcome.ANSWERED, 0):,} answered" + _in_brackets(answered)]
    refused = ", ".join(f"{_reason(why)} {n:,}" for why, n in _most_first(figures.refusals))
    words = {
        RequestOutcome.REFUSED: f"refused{_in_brackets(refused)}",
        RequestOutcome.FAILED: "failed",
        RequestOutcome.OUT_OF_MEMORY: "ran out of memory",
        RequestOutcome.CANCELLED: "taken back",
    }
    lines += [f"{counts[what]:,} {text}" for what, text in words.items() if counts.get(what)]
    if tokens := figures.tokens:
        prompt, made = tokens.get("prompt", 0), tokens.get("generated", 0)
        lines.append(f"{prompt:,} tokens read, {made:,} written")
    if figures.frames:
        lines.append(f"{figures.frames:,} pictures and frames looked at")
    return "\n".join(lines)


def _waits(figures: DayFigures) -> str:
    return "\n".join(
        f"{kind}: half within {_seconds(w.p50_s)}, 99 % within {_seconds(w.p99_s)} ({w.count:,})"
        for kind, w in figures.waits.items()
    )


def _models(figures: DayFigures) -> str:
    loaded = figures.loads.get(LoadOutcome.LOADED, 0)
    failed = sum(n for what, n in figures.loads.items() if what is not LoadOutcome.LOADED)
    parts = []
    if figures.loads:
        parts.append(f"{loaded:,} loaded" + (f", {failed:,} could not be" if failed else ""))
    if figures.unloads:
        causes = ", ".join(
            f"{cause.replace('_', ' ')} {n:,}" for cause, n in _most_first(figures.unloads)
        )
        parts.append(f"{sum(figures.unloads.values()):,} unloaded ({causes})")
    return "\n".join(parts)


def _peaks(figures: DayFigures) -> str:
    return "\n".join(
        f"{p.title}: {format_gib(p.used_bytes)} of {format_gib(p.total_bytes)} "
        f"({100 * p.used_bytes / max(1, p.total_bytes):.0f} %), <t:{int(p.at.timestamp())}:t>"
        for p in figures.peaks
    )


def _incidents(facts: DigestFacts) -> str:
    if not facts.incidents:
        return "None."
    worst = sorted(facts.incidents, key=lambda r: (-r.worst, -r.lasted_s(facts.now)))
    shown = sorted(worst[:_MOST_INCIDENTS], key=lambda r: r.number)
    lines = [incident_line(record, facts.now) for record in shown]
    more = len(facts.incidents) - len(shown)
    if more:
        lines.append(f"and {more} lesser ones: `!gpu incidents`")
    lines += [f"🔕 {text}" for text in facts.muted]
    return "\n".join(lines)


def incident_line(record: IncidentRecord, now: datetime) -> str:
    """``#5 memory, critical, 4 min 30 s: GPU memory nearly full: Device 0 (RTX 4070) ...``."""
    state = "open for " if record.is_open else ""
    marks = (", came and went" if record.flapping else "") + (", muted" if record.muted else "")
    lasted = format_duration(record.lasted_s(now))
    about = record.worst_text.partition(". ")[0]
    level = record.worst.name.lower()
    return f"**#{record.number}** {level}, {state}{lasted}{marks}: {about[:160]}"


def muted_line(mute: Mute) -> str:
    """``No messages about what #5 is about until ...``."""
    until = "it is over" if mute.until is None else f"<t:{int(mute.until.timestamp())}:f>"
    return f"No new messages about what #{mute.number} is about until {until}"


def _reason(error: str) -> str:
    return _REASONS.get(error, error or "unknown")


_REASONS = {
    "QueueFull": "queue full",
    "CannotPlace": "no room",
    "WorkerStartFailed": "not loaded",
    "ModelMissing": "no such model",
}


def _most_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _in_brackets(text: str) -> str:
    return f" ({text})" if text else ""


def _seconds(value_s: float) -> str:
    return f"{value_s * 1000:.0f} ms" if value_s < 1 else f"{value_s:.1f} s"
