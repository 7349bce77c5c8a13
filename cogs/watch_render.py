"""What is shown of watches and their alerts. Pure."""

from collections.abc import Sequence

import discord

from cogs.vision_render import Wording, cut, inert, observation_lines
from danzar.vision.watch import Alert, Ended, WatchStatus

_DESCRIPTION_LIMIT = 4096
FRAME_NAME = "frame.jpg"


def render_status(statuses: Sequence[WatchStatus], wording: Wording, now_s: float) -> discord.Embed:
    """Every watch with its figures; ``now_s`` is the event loop's time."""
    blocks = [_render_watch(status, wording, now_s) for status in statuses]
    text = "\n\n".join(blocks) or "Nothing is being watched."
    embed = discord.Embed(title="👀 Watches", description=text[:_DESCRIPTION_LIMIT])
    embed.colour = discord.Colour.blurple()
    return embed


def render_started(status: WatchStatus, rules: int, channel: str, note: str | None) -> str:
    """The answer to ``watch start``."""
    alerts = f"{rules} alert rules, told in {channel}" if rules else "no alert rules in the profile"
    line = f"👀 Watching **{cut(inert(status.source))}** as watch {status.id}: {alerts}."
    return f"{line}\n⚠️ {note}" if note else line


def render_stopped(stopped: Sequence[WatchStatus], asked_for: int | None) -> str:
    """The answer to ``watch stop``."""
    if stopped:
        return "\n".join(
            f"🛑 Watch {s.id} of **{cut(inert(s.source))}** is stopped: {_counts(s)}."
            for s in stopped
        )
    if asked_for is None:
        return "Nothing is being watched."
    return f"There is no watch {asked_for}. `watch status` shows those that run."


def render_ended(ended: Ended) -> str:
    """What is said when a watch ended by itself."""
    source, reason = cut(inert(ended.source)), cut(inert(ended.reason))
    return f"🏁 Watch {ended.watch_id} of **{source}** is over: {reason}"


def render_alert(alert: Alert, wording: Wording) -> discord.Embed:
    """An alert; its frame is attached as ``frame.jpg``."""
    lines = [f"**{inert(alert.reading)}**", *observation_lines(alert.observation, wording)]
    if alert.frame_jpeg is None:
        lines.append("⚠️ The frame could not be drawn.")
    embed = discord.Embed(
        title=f"🚨 {alert.message}"[:256],
        description="\n".join(lines)[:_DESCRIPTION_LIMIT],
        colour=discord.Colour.red(),
    )
    if alert.frame_jpeg is not None:
        embed.set_image(url=f"attachment://{FRAME_NAME}")
    place = f"watch {alert.watch_id}: {alert.source} at {alert.at_s:.1f} s"
    return embed.set_footer(
        text=f"{place} · rule “{alert.rule}” · {alert.observation.device}"[:2048]
    )


def _render_watch(status: WatchStatus, wording: Wording, now_s: float) -> str:
    state = f"over: {cut(inert(status.ended))}" if status.ended else _running(status, now_s)
    lines = [f"**{status.id} · {cut(inert(status.source))}** · {state}", _counts(status)]
    if status.errors:
        lines.append(
            f"⚠️ {status.errors} errors, the last one: {cut(inert(status.last_error or ''))}"
        )
    if status.last is not None and status.ended is None:
        lines += observation_lines(status.last, wording)
        lines.append(f"-# {status.last.device}")
    return "\n".join(lines)


def _running(status: WatchStatus, now_s: float) -> str:
    lag = f", {status.lag_s:.2f} s behind" if status.lag_s is not None else ""
    return f"for {now_s - status.started_s:.0f} s{lag}"


def _counts(status: WatchStatus) -> str:
    return (
        f"{status.seen} frames: {status.processed} looked at, {status.skipped} unchanged, "
        f"{status.dropped} dropped; {status.alerts} alerts"
    )
