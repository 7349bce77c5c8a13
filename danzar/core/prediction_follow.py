"""What follows what: which model is wanted after which. Pure.

A picture question asks the detectors first and the chat model when they have answered: that is
learned here from what happened, never configured. A trial begins with a use of one model and ends
``window_s`` later; every other model that was used meanwhile followed it.
"""

import math
from dataclasses import dataclass, field

# With each new trial of a model the older ones count this much.
_FADE = 0.98
# So many imagined trials, none of them followed, stand before the first real one.
_PRIOR_TRIALS = 1.0
# The share of the new delay in the average.
_NEW_SHARE = 0.2


@dataclass(slots=True)
class Followed:
    """How often one model followed another, and how soon.

    Attributes:
        hits: Trials in which it did, faded.
        delay_s: From the first use to the second, averaged.
    """

    hits: float = 0.0
    delay_s: float = 0.0


@dataclass(slots=True)
class Trials:
    """What came after the uses of one model.

    Attributes:
        count: Trials, faded; the open one included.
        open_s: When the open one began; ``None`` while there is none.
        last_s: When the model was last used in it.
        seen: Who followed in the open one.
        by: Everyone who ever followed.
    """

    count: float = 0.0
    open_s: float | None = None
    last_s: float = 0.0
    seen: set[str] = field(default_factory=set)
    by: dict[str, Followed] = field(default_factory=dict)


@dataclass(slots=True)
class Follows:
    """All models' trials."""

    trials: dict[str, Trials] = field(default_factory=dict)

    def note_use(self, model: str, now_s: float, window_s: float) -> None:
        """A model was used: it follows those before it, and others may follow it."""
        for name, trials in self.trials.items():
            if name != model and _is_open(trials, now_s, window_s):
                _credit(trials, model, now_s)
        mine = self.trials.setdefault(model, Trials())
        if not _is_open(mine, now_s, window_s):
            for followed in mine.by.values():
                followed.hits *= _FADE
            mine.count = mine.count * _FADE + 1.0
            mine.open_s, mine.seen = now_s, set()
        mine.last_s = now_s

    def probability(
        self, first: str, then: str, now_s: float, window_s: float, *, running: bool = False
    ) -> float:
        """How likely ``then`` still follows the last use of ``first``.

        The longer it has not come, the less likely it becomes: delays are taken as exponential.
        While the use is ``running``, it is as likely as at its beginning.
        """
        trials = self.trials.get(first)
        if trials is None or trials.open_s is None or then in trials.seen:
            return 0.0
        age_s = now_s - trials.last_s
        if age_s > window_s and not running:
            return 0.0
        followed = trials.by.get(then)
        if followed is None:
            return 0.0
        # The open trial is not over: it must not count as one that was not followed.
        share = followed.hits / (max(0.0, trials.count - 1.0) + _PRIOR_TRIALS)
        share = min(1.0, share)
        if running:
            return share
        left = math.exp(-max(0.0, age_s) / max(1.0, followed.delay_s))
        return share * left / (1.0 - share + share * left) if share < 1.0 else left

    def companions(self, model: str, least: float) -> tuple[str, ...]:
        """Who follows a model at least this often."""
        trials = self.trials.get(model)
        if trials is None:
            return ()
        enough = least * (trials.count + _PRIOR_TRIALS)
        return tuple(sorted(name for name, f in trials.by.items() if f.hits >= enough))


def _is_open(trials: Trials, now_s: float, window_s: float) -> bool:
    return trials.open_s is not None and now_s - trials.last_s <= window_s


def _credit(trials: Trials, model: str, now_s: float) -> None:
    if model in trials.seen:
        return
    trials.seen.add(model)
    followed = trials.by.setdefault(model, Followed())
    delay_s = now_s - trials.last_s
    known = followed.hits > 0
    followed.hits += 1.0
    followed.delay_s += (delay_s - followed.delay_s) * (_NEW_SHARE if known else 1.0)
