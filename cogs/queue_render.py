"""Who is served and who waits, as Discord shows it: pure, tested as text."""

from collections.abc import Callable, Sequence

from cogs.gpu_models_render import cut_blocks
from danzar.broker.queue_view import QueueView, RunningView, WaitingView
from danzar.core.instance import InstanceState
from danzar.explain.memory_text import format_duration

QUEUE_TITLE = "⏳ Queue"
NameOf = Callable[[str | None], str]
"""What a person is called to the one who looks: never an id, never a mention."""

_SHOWN_WAITING = 10
_LOADED = (InstanceState.READY, InstanceState.DRAINING)


def render_queues(views: Sequence[QueueView], name_of: NameOf) -> str:
    """Every model on which something runs or waits."""
    busy = [view for view in views if not view.is_idle]
    if not busy:
        return "Nothing is being answered, and nobody waits."
    return cut_blocks([_block(view, name_of) for view in busy])


def render_cancelled(numbers: Sequence[int]) -> str:
    """What to say after requests were taken back."""
    if not numbers:
        return "Nothing of yours is waiting."
    which = ", ".join(f"#{number}" for number in numbers)
    return f"↩️ Taken back: {which}."


def _block(view: QueueView, name_of: NameOf) -> str:
    waiting = view.waiting[:_SHOWN_WAITING]
    more = len(view.waiting) - len(waiting)
    lines = [
        _title(view),
        *(_running(row, name_of) for row in view.running),
        *(_waiting(row, name_of) for row in waiting),
    ]
    return "\n".join([*lines, f"… and {more} more"] if more else lines)


def _title(view: QueueView) -> str:
    state = "" if view.state in _LOADED else f" ({view.state})"
    each = "" if view.job_s is None else f", about {format_duration(view.job_s)} each"
    return (
        f"**{view.model}**{state}: {len(view.running)} of {view.slots} at work, "
        f"{len(view.waiting)} waiting{each}"
    )


def _running(row: RunningView, name_of: NameOf) -> str:
    waited = f", waited {format_duration(row.waited_s)}" if row.waited_s >= 1 else ""
    since = format_duration(row.for_s)
    return f"▶️ #{row.number} {row.kind} · {name_of(row.person)} · for {since}{waited}"


def _waiting(row: WaitingView, name_of: NameOf) -> str:
    expected = "" if row.expected_s is None else f", about {format_duration(row.expected_s)} to go"
    late = f" ⚠️ longer than the {row.bound_s:.0f} s it should be" if row.is_late else ""
    waited = format_duration(row.waited_s)
    return (
        f"{row.position}. #{row.number} {row.kind} · {name_of(row.person)} · "
        f"waiting for {waited}{expected}{late}"
    )
