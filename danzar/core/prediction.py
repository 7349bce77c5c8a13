"""What will be needed soon: from the time of day, from what was used last, and from hints. Pure.

Four sources, each with a probability of its own; the highest counts, after each was corrected by
how often such predictions came true (``prediction_trust``). They overlap, so they are not added.

hour    the share of earlier days like today on which the model was used in the window that begins
        now, with its average rate (Poisson) as prior
rhythm  of the model's gaps that were longer than the present one, the share that ended in the
        window (``usage``)
after   another model is in use, or was a moment ago, that this one follows
hint    somebody types where Danzar was asked lately, uploads, watches, joins a voice channel

Whether anybody comes at all (``probability``) is asked of the whole window; whether it is time to
load already (``soon``), of the next ``lookahead_s``.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from danzar.core.prediction_days import DAY_S, SLOT_S, DayShare, DaySlots, Mood, share_of_days
from danzar.core.prediction_follow import Follows
from danzar.core.prediction_hints import HintKind, Hints
from danzar.core.prediction_trust import Forecasts, Source
from danzar.core.usage import Usage

# The share of days is asked of three slots at least, or it would be chance.
_SOON_S = 3.0 * SLOT_S
_HINTED = {
    HintKind.TYPING: "somebody is typing",
    HintKind.UPLOAD: "an upload has begun",
    HintKind.WATCH: "a watch was asked for",
    HintKind.VOICE: "somebody joined a voice channel",
}
_CERTAIN = 0.999
_MOST_WINDOWS = 6
_QUIET = 0.5


@dataclass(frozen=True, slots=True)
class PredictionRules:
    """What the owner decided about loading ahead.

    Attributes:
        lookahead_s: How far ahead of its expected use a model is loaded.
        window_s: How long a model that was loaded ahead may wait to be used.
        min_probability: Less likely models are never loaded ahead, nor kept once they were.
        max_wasted: The share of loads in vain that is tolerated.
        cushion_bytes: Left free on every device beyond reservations and margins.
    """

    enabled: bool = False
    lookahead_s: float = 300.0
    window_s: float = 3600.0
    min_probability: float = 0.3
    max_wasted: float = 0.15
    cushion_bytes: int = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Prediction:
    """One model's future, as the source that is surest of it sees it.

    Attributes:
        probability: Of a use within ``reach_s``, corrected by trust.
        soon: Of a use within the lookahead, corrected as well.
        window_s: How long a load would be kept before it is asked again whether it is expected.
        reach_s: How far this source looks: as long as it would then still be expected.
        timely: Whether the next lookahead is not much quieter than the window as a whole.
        reason: In words, with its numbers.
    """

    model: str
    source: Source
    probability: float
    soon: float
    window_s: float
    reason: str
    reach_s: float
    timely: bool = True


@dataclass(slots=True)
class Habits:
    """Everything that was learned. Only the scheduler changes it.

    Attributes:
        offset_s: Local time since 1970 less the scheduler's clock; ``None`` until it is known.
        used: When each model was used.
        observed: When Danzar ran.
        anyone: When any model was used.
    """

    offset_s: float | None = None
    used: dict[str, DaySlots] = field(default_factory=dict)
    observed: DaySlots = field(default_factory=DaySlots)
    anyone: DaySlots = field(default_factory=DaySlots)
    follows: Follows = field(default_factory=Follows)
    hints: Hints = field(default_factory=Hints)
    forecasts: Forecasts = field(default_factory=Forecasts)
    _shares: dict[tuple[str, float, float], DayShare] = field(default_factory=dict)
    _shares_at: tuple[int, int] = (0, 0)
    _hourly: "dict[tuple[str, PredictionRules], Prediction | None]" = field(default_factory=dict)

    def local_s(self, now_s: float) -> float | None:
        """Local time, seconds since 1970; ``None`` unknown."""
        return None if self.offset_s is None else now_s + self.offset_s

    def note_time(self, local_s: float, now_s: float) -> None:
        """What the clock on the wall says."""
        self.offset_s = local_s - now_s
        self.observed.note(local_s)
        self.forecasts.expire(now_s)

    def note_use(self, model: str, now_s: float, rules: PredictionRules) -> None:
        """A model was asked."""
        self.follows.note_use(model, now_s, rules.lookahead_s)
        self.hints.note_use(model, now_s)
        self.forecasts.note_use(model, now_s)
        local_s = self.local_s(now_s)
        if local_s is not None:
            self.anyone.note(local_s)
            self.used.setdefault(model, DaySlots()).note(local_s)

    def hour(self, model: str, now_s: float, window_s: float, after_s: float = 0.0) -> DayShare:
        """On how many days like today it was used in a window that began at this time of day.

        The window begins ``after_s`` from now.
        """
        local_s, used = self.local_s(now_s), self.used.get(model)
        if local_s is None or used is None:
            return DayShare(0, 0, 0.0)
        self.forget_slot(local_s)
        key = (model, window_s, after_s)
        known = self._shares.get(key)
        if known is None:
            mood = self.mood(local_s)
            known = share_of_days(used, self.observed, mood, local_s + after_s, window_s)
            self._shares[key] = known
        return known

    def hourly(self, model: str, moment: "Moment", make: "MakeHourly") -> Prediction | None:
        """What ``make`` says of this slot, asked once for each."""
        local_s = self.local_s(moment.now_s)
        if local_s is None:
            return None
        self.forget_slot(local_s)
        key = (model, moment.rules)
        if key not in self._hourly:
            self._hourly[key] = make(self, model, moment)
        return self._hourly[key]

    def forget_slot(self, local_s: float) -> None:
        """Nothing that is read from days changes within a slot, unless something is used."""
        at = (int(local_s // SLOT_S), self.anyone.days.get(int(local_s // DAY_S), 0))
        if at != self._shares_at:
            self._shares, self._hourly, self._shares_at = {}, {}, at

    def mood(self, local_s: float) -> Mood:
        """What the last hour was like."""
        return Mood(self.anyone, local_s)


@dataclass(frozen=True, slots=True)
class Moment:
    """What a prediction is made of besides habits.

    Attributes:
        running: Models that are asked or answer now.
    """

    now_s: float
    rules: PredictionRules
    running: frozenset[str] = frozenset()


MakeHourly = Callable[[Habits, str, Moment], Prediction | None]


def predictions(habits: Habits, model: str, usage: Usage, moment: Moment) -> list[Prediction]:
    """What each source says of one model, before it is corrected."""
    found = (
        _by_hour(habits, model, moment),
        _by_rhythm(model, usage, moment),
        _by_what_it_follows(habits, model, moment),
        _by_hint(habits, model, moment),
    )
    return [prediction for prediction in found if prediction is not None]


def predict(habits: Habits, model: str, usage: Usage, moment: Moment) -> Prediction | None:
    """The surest corrected prediction; what was predicted is remembered, to see if it comes true.

    ``None`` where nothing speaks for a use.
    """
    found: list[tuple[float, Prediction]] = []
    for raw in predictions(habits, model, usage, moment):
        habits.forecasts.note(model, raw.source, raw.probability, moment.now_s + raw.reach_s)
        found.append((habits.forecasts.trust(raw.source), raw))
    if not found:
        return None
    trust, surest = max(found, key=lambda row: row[0] * row[1].probability)
    return _corrected(surest, trust)


def _corrected(raw: Prediction, trust: float) -> Prediction:
    probability = min(_CERTAIN, raw.probability * trust)
    return replace(raw, probability=probability, soon=min(_CERTAIN, raw.soon * trust))


def _by_hour(habits: Habits, model: str, moment: Moment) -> Prediction | None:
    return habits.hourly(model, moment, _from_days)


def _from_days(habits: Habits, model: str, moment: Moment) -> Prediction | None:
    rules = moment.rules
    share = habits.hour(model, moment.now_s, rules.window_s)
    if not share.days:
        return None
    near_s = max(_SOON_S, rules.lookahead_s)
    near = habits.hour(model, moment.now_s, near_s).probability
    soon = _within(near, rules.lookahead_s / near_s)
    reach_s = _reach_s(habits, model, moment)
    probability = habits.hour(model, moment.now_s, reach_s).probability
    reason = (
        f"asked at this hour on {share.used} of {share.days} days "
        f"({100 * probability:.0f} % within {reach_s / 3600:.0f} h today)"
    )
    timely = soon >= _QUIET * _within(share.probability, rules.lookahead_s / rules.window_s)
    return Prediction(
        model, Source.HOUR, probability, soon, rules.window_s, reason, reach_s, timely
    )


def _reach_s(habits: Habits, model: str, moment: Moment) -> float:
    """So many windows as it would be kept for, each because it is then likely in the next one."""
    window_s = moment.rules.window_s
    windows = 1
    while windows < _MOST_WINDOWS:
        share = habits.hour(model, moment.now_s, window_s, (windows - 1) * window_s)
        if share.probability < moment.rules.min_probability:
            break
        windows += 1
    return windows * window_s


def _within(probability: float, share: float) -> float:
    """The same chance for a part of the time, were uses spread at random over it (Poisson)."""
    return -math.expm1(math.log1p(-min(probability, _CERTAIN)) * min(1.0, share))


def _by_rhythm(model: str, usage: Usage, moment: Moment) -> Prediction | None:
    if not usage.count:
        return None
    rules = moment.rules
    probability = usage.use_probability(moment.now_s, rules.window_s)
    soon = usage.use_probability(moment.now_s, rules.lookahead_s)
    minutes = (moment.now_s - usage.counted_s) / 60
    reason = f"last asked {minutes:.0f} min ago; {100 * probability:.0f} % of such pauses end soon"
    window_s = rules.window_s
    return Prediction(model, Source.RHYTHM, probability, soon, window_s, reason, window_s)


def _by_what_it_follows(habits: Habits, model: str, moment: Moment) -> Prediction | None:
    window_s = moment.rules.lookahead_s
    best, first = 0.0, ""
    for name in habits.follows.trials:
        if name == model:
            continue
        likely = habits.follows.probability(
            name, model, moment.now_s, window_s, running=name in moment.running
        )
        if likely > best:
            best, first = likely, name
    if not first:
        return None
    reason = f"follows {first}, which is in use, in {100 * best:.0f} % of all cases"
    return Prediction(model, Source.AFTER, best, best, window_s, reason, window_s)


def _by_hint(habits: Habits, model: str, moment: Moment) -> Prediction | None:
    found = habits.hints.best(model, moment.now_s)
    if found is None:
        return None
    kind, probability, until_s = found
    reason = f"{_HINTED[kind]} ({100 * probability:.0f} % of such signs were right)"
    lasts_s = until_s - moment.now_s
    return Prediction(model, Source.HINT, probability, probability, lasts_s, reason, lasts_s)
