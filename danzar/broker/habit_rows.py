"""What was learned as rows of a table, and back. Pure.

A row that can't be read is left out: what it held is learned again.
"""

import logging
from collections.abc import Callable

import msgspec

from danzar.core.prediction import Habits
from danzar.core.prediction_days import DaySlots
from danzar.core.prediction_follow import Followed, Trials
from danzar.core.prediction_hints import HintKind, HintRecord
from danzar.core.prediction_trust import Record, Source
from danzar.core.prefetch_counts import PrefetchCounts
from danzar.core.state import State

log = logging.getLogger(__name__)

Key = tuple[str, str, str]
"""``(kind, name, part)``."""
Rows = dict[Key, bytes]

_encode = msgspec.json.encode


class _Past(msgspec.Struct, frozen=True):
    """A model's uses; ``last_s`` is local time since 1970."""

    count: float
    last_s: float
    gaps: list[float]


def rows_of(state: State, now_s: float, local_s: float) -> Rows:
    """Everything that is worth keeping.

    Args:
        state: The scheduler's.
        now_s: The scheduler's clock.
        local_s: The same moment in local time, seconds since 1970.
    """
    habits = state.habits
    rows: Rows = {("price", "", ""): _encode(state.prefetches.price)}
    rows |= _days("observed", "", habits.observed)
    for model, used in habits.used.items():
        rows |= _days("used", model, used)
    for model, trials in habits.follows.trials.items():
        rows["trials", model, ""] = _encode(trials.count)
        for then, followed in trials.by.items():
            rows["follows", model, then] = _encode((followed.hits, followed.delay_s))
    for (model, kind), record in habits.hints.records.items():
        rows["hint", model, kind] = _encode((record.given, record.followed))
    for source, promise in habits.forecasts.records.items():
        rows["source", source, ""] = _encode((promise.promised, promise.kept))
    for model, counts in state.prefetches.by_model.items():
        rows["account", model, ""] = _encode(counts)
    for instance in state.instances.values():
        usage = instance.usage
        if usage.count:
            last_s = round(local_s - (now_s - usage.counted_s))
            past = _Past(usage.count, last_s, usage.gaps)
            rows["uses", instance.name, ""] = _encode(past)
    return rows


def read_rows(rows: Rows, state: State, now_s: float, local_s: float) -> None:
    """Put them back where they came from; models that are no longer there are forgotten."""
    reader = _Reader(state, now_s, local_s)
    for key, value in rows.items():
        try:
            reader.read(key, value)
        except (msgspec.MsgspecError, ValueError) as exc:
            log.warning("a row of the habits (%s) is left out: %s", " ".join(key), exc)


class _Reader:
    """Puts one row back at a time."""

    def __init__(self, state: State, now_s: float, local_s: float) -> None:
        self._state = state
        self._habits: Habits = state.habits
        self._offset_s = now_s - local_s
        self._kinds: dict[str, Callable[[str, str, bytes], None]] = {
            "observed": self._observed,
            "used": self._used,
            "trials": self._trials,
            "follows": self._follows,
            "hint": self._hint,
            "source": self._source,
            "account": self._account,
            "uses": self._uses,
            "price": self._price,
        }

    def read(self, key: Key, value: bytes) -> None:
        """Unknown kinds and models are left out."""
        kind, name, part = key
        about_model = kind not in ("observed", "source", "price")
        if about_model and name not in self._state.instances:
            return
        read = self._kinds.get(kind)
        if read is not None:
            read(name, part, value)

    def _observed(self, _name: str, part: str, value: bytes) -> None:
        self._habits.observed.days[int(part)] = _bits(value)

    def _used(self, name: str, part: str, value: bytes) -> None:
        day, bits = int(part), _bits(value)
        self._habits.used.setdefault(name, DaySlots()).days[day] = bits
        anyone = self._habits.anyone.days
        anyone[day] = anyone.get(day, 0) | bits

    def _trials(self, name: str, _part: str, value: bytes) -> None:
        trials = self._habits.follows.trials.setdefault(name, Trials())
        trials.count = msgspec.json.decode(value, type=float)

    def _follows(self, name: str, part: str, value: bytes) -> None:
        if part in self._state.instances:
            hits, delay_s = msgspec.json.decode(value, type=tuple[float, float])
            trials = self._habits.follows.trials.setdefault(name, Trials())
            trials.by[part] = Followed(hits, delay_s)

    def _hint(self, name: str, part: str, value: bytes) -> None:
        given, followed = msgspec.json.decode(value, type=tuple[float, float])
        self._habits.hints.records[name, HintKind(part)] = HintRecord(given, followed)

    def _source(self, name: str, _part: str, value: bytes) -> None:
        promised, kept = msgspec.json.decode(value, type=tuple[float, float])
        self._habits.forecasts.records[Source(name)] = Record(promised, kept)

    def _account(self, name: str, _part: str, value: bytes) -> None:
        counts = msgspec.json.decode(value, type=PrefetchCounts)
        self._state.prefetches.by_model[name] = counts

    def _uses(self, name: str, _part: str, value: bytes) -> None:
        past = msgspec.json.decode(value, type=_Past)
        usage = self._state.instances[name].usage
        if len(past.gaps) == len(usage.gaps):
            usage.gaps, usage.count = past.gaps, past.count
            usage.counted_s = past.last_s + self._offset_s

    def _price(self, _name: str, _part: str, value: bytes) -> None:
        self._state.prefetches.price = msgspec.json.decode(value, type=float)


def _days(kind: str, name: str, slots: DaySlots) -> Rows:
    return {(kind, name, str(day)): _encode(f"{bits:x}") for day, bits in slots.days.items()}


def _bits(value: bytes) -> int:
    return int(msgspec.json.decode(value, type=str), 16)
