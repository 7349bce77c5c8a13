"""Which of the models that are asked for is placed first, and when busy ones must leave. Pure."""

from dataclasses import dataclass

from danzar.core.asker import RequestClass
from danzar.core.instance import Instance
from danzar.core.queue import QueueRules
from danzar.core.turns import DUE_SHARE, turn_key


@dataclass(frozen=True, slots=True)
class Wish:
    """What waits for a model and has used up most of its bound.

    Attributes:
        asked_s: When it was asked for.
        bound_s: How long it should wait at most.
        stretch: How many times longer than the most urgent class it may wait.
    """

    asked_s: float
    bound_s: float
    stretch: float


def most_pressing(instance: Instance, rules: QueueRules, now_s: float) -> Wish | None:
    """``None`` where nobody asks for the model. A person's wish to load it counts as chat."""
    waiting = [(job.submitted_s, job.asker.kind) for job in instance.queue.jobs()]
    if instance.wanted_s is not None:
        waiting.append((instance.wanted_s, RequestClass.CHAT))
    if not waiting:
        return None
    bounds_s = rules.bounds_s
    asked_s, kind = max(waiting, key=lambda x: ((now_s - x[0]) / bounds_s[x[1]], -bounds_s[x[1]]))
    return Wish(asked_s, bounds_s[kind], rules.stretch(kind))


def placement_key(
    instance: Instance, wish: Wish, drain_after_s: float, now_s: float
) -> tuple[tuple[bool, float, float], str]:
    """The smallest is placed first; of those that are due, the one loaded longest ago.

    Whoever may make busy models leave (after ``drain_after_s``, of the most urgent class) is due:
    what leaves for it does not come back before it.
    """
    share = min(DUE_SHARE, drain_after_s * wish.stretch / wish.bound_s)
    key = turn_key(wish.asked_s, wish.bound_s, instance.loaded_s, now_s, share)
    return key, instance.name
