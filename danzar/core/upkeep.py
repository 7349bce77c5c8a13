"""When workers give back memory that nothing uses. Pure.

fragmentation = (reserved - allocated) / reserved, of torch's allocator: what it took from the
driver and no tensor uses (the seed's measure). Of that, what is booked for the activations of the
next batch is no waste, and does not count here; free parts inside of blocks in use
(``inactive_split_bytes``) can't be given back by emptying the cache, only by a new process.

collect    the device is filled above ``gc_share``; or each ``cleanup_interval_s``, while idle
empty      fragmentation is above its threshold; looked at each ``interval_s``
aggressive the device is filled above ``oom_share``: at once, at most each ``urgent_s``
recycle    emptying did not help twice in a row, and what is stuck is worth a reload: the worker is
           drained and started anew; at most once an hour, then two, four, up to a day
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from danzar.units import MIB, format_size


class TrimLevel(StrEnum):
    """How thoroughly memory is given back."""

    GENTLE = "gentle"
    AGGRESSIVE = "aggressive"


class UpkeepAction(StrEnum):
    """What is done with a worker."""

    COLLECT = "collect"
    EMPTY = "empty"
    AGGRESSIVE = "aggressive"
    RECYCLE = "recycle"


@dataclass(frozen=True, slots=True)
class UpkeepRules:
    """What the owner decided; the seed's figures.

    Attributes:
        gc_share: Of the device in use; above it, garbage is collected.
        fragmentation: Of torch's memory unused; above it, the cache is emptied.
        interval_s: Between two looks.
        cleanup_interval_s: Between two routine collections of an idle worker.
        urgent_s: Between two aggressive ones.
        least_bytes: Less than this is not worth emptying a cache.
        stuck_bytes: Less than this is not worth a new process.
        recycle_s: From one recycling of a worker to the next, at first.
    """

    enabled: bool = True
    gc_share: float = 0.85
    fragmentation: float = 0.3
    oom_share: float = 0.95
    interval_s: float = 60.0
    cleanup_interval_s: float = 300.0
    urgent_s: float = 10.0
    least_bytes: int = 64 * MIB
    stuck_bytes: int = 256 * MIB
    recycle_s: float = 3600.0


@dataclass(frozen=True, slots=True)
class AllocatorView:
    """What one worker holds and uses. ``None``: torch holds nothing on a card there.

    Attributes:
        alloc_retries: How often memory was found only after the cache was emptied.
    """

    worker: str
    device_uuid: str
    rss_bytes: int
    reserved_bytes: int | None = None
    allocated_bytes: int | None = None
    inactive_split_bytes: int | None = None
    alloc_retries: int | None = None

    @property
    def fragmentation(self) -> float | None:
        """The seed's measure, 0 to 1."""
        return fragmentation(self.reserved_bytes, self.allocated_bytes)


@dataclass(frozen=True, slots=True)
class TrimRow:
    """What one worker gave back.

    Attributes:
        freed_bytes: As the driver shows for a card, as the system shows (RSS) for host RAM;
            ``None`` where it does not say.
        reserved_before_bytes: Of torch's allocator; ``None`` where it holds nothing on a card.
        error: Why it gave nothing back.
    """

    worker: str
    device_uuid: str
    level: TrimLevel
    freed_bytes: int | None = None
    reserved_before_bytes: int | None = None
    reserved_after_bytes: int | None = None
    rss_before_bytes: int | None = None
    rss_after_bytes: int | None = None
    seconds: float = 0.0
    recycled: bool = False
    error: str | None = None


@dataclass(frozen=True, slots=True)
class TrimReport:
    """What all workers gave back."""

    rows: tuple[TrimRow, ...] = ()

    @property
    def freed_bytes(self) -> int | None:
        """The sum of what is known; ``None`` where nothing is."""
        known = [row.freed_bytes for row in self.rows if row.freed_bytes is not None]
        return sum(known) if known else None


@dataclass(frozen=True, slots=True)
class UpkeepStep:
    """Something that was done with a worker by itself.

    Attributes:
        at_s: Monotonic seconds.
        freed_bytes: ``None`` unknown, or (recycling) not known yet.
    """

    at_s: float
    worker: str
    device_uuid: str
    action: UpkeepAction
    reason: str
    freed_bytes: int | None = None


_LONGEST_BACKOFF_S = 86_400.0
_TRIES_BEFORE_RECYCLING = 2


@dataclass(frozen=True, slots=True)
class WorkerSeen:
    """One worker's memory now. ``None`` is unknown, or: torch is not on a card.

    Attributes:
        booked_bytes: For activations of its models' batches.
        used_share: Of its device, by anyone, 0 to 1.
        busy: Requests run in it.
    """

    reserved_bytes: int | None
    allocated_bytes: int | None
    booked_bytes: int = 0
    used_share: float | None = None
    busy: bool = False

    @property
    def unused_bytes(self) -> int | None:
        """What torch holds, no tensor uses and no batch will."""
        if self.reserved_bytes is None or self.allocated_bytes is None:
            return None
        return max(0, self.reserved_bytes - self.allocated_bytes - self.booked_bytes)

    @property
    def waste(self) -> float | None:
        """The same as a share of what torch holds, 0 to 1."""
        unused_bytes = self.unused_bytes
        if unused_bytes is None or not self.reserved_bytes:
            return None
        return unused_bytes / self.reserved_bytes


@dataclass(frozen=True, slots=True)
class WorkerCare:
    """What was done with a worker so far.

    Attributes:
        looked_s: When it was last looked at for fragmentation.
        trimmed_s: When it last gave back anything, or when it was first seen.
        in_vain: How often in a row emptying its cache did not help.
        recycled: How often it was started anew because of that.
        recycled_s: When it last was.
    """

    looked_s: float
    trimmed_s: float
    in_vain: int = 0
    recycled: int = 0
    recycled_s: float | None = None


def fragmentation(reserved_bytes: int | None, allocated_bytes: int | None) -> float | None:
    """The seed's measure, 0 to 1; ``None`` where torch holds nothing on a card."""
    if reserved_bytes is None or allocated_bytes is None or reserved_bytes <= 0:
        return None
    return max(0.0, (reserved_bytes - allocated_bytes) / reserved_bytes)


def next_care(
    before: WorkerCare, seen: WorkerSeen, rules: UpkeepRules, now_s: float
) -> tuple[WorkerCare, UpkeepAction | None, str]:
    """What to do with a worker now, and why; ``None``: nothing."""
    used = seen.used_share
    if _is_urgent(before, seen, rules, now_s):
        return (
            _trimmed(before, now_s),
            UpkeepAction.AGGRESSIVE,
            f"{used or 0:.0%} of the device is used",
        )
    if now_s - before.looked_s < rules.interval_s:
        return before, None, ""
    care = replace(before, looked_s=now_s)
    if _is_fragmented(seen, rules):
        return _fight_fragmentation(care, seen, rules, now_s)
    care = replace(care, in_vain=0)
    if used is not None and used >= rules.gc_share and (seen.unused_bytes or 0) > rules.least_bytes:
        return _trimmed(care, now_s), UpkeepAction.COLLECT, f"{used:.0%} of the device is used"
    if not seen.busy and _since(care, now_s) >= rules.cleanup_interval_s:
        return _trimmed(care, now_s), UpkeepAction.COLLECT, "routine"
    return care, None, ""


def _is_urgent(care: WorkerCare, seen: WorkerSeen, rules: UpkeepRules, now_s: float) -> bool:
    """The device is nearly full, and there may be something to give back."""
    if seen.used_share is None or seen.used_share < rules.oom_share:
        return False
    if seen.unused_bytes is None:
        return _since(care, now_s) >= rules.interval_s
    return seen.unused_bytes >= rules.least_bytes and _since(care, now_s) >= rules.urgent_s


def _is_fragmented(seen: WorkerSeen, rules: UpkeepRules) -> bool:
    waste, unused_bytes = seen.waste, seen.unused_bytes
    if waste is None or unused_bytes is None:
        return False
    return waste > rules.fragmentation and unused_bytes >= rules.least_bytes


def _fight_fragmentation(
    care: WorkerCare, seen: WorkerSeen, rules: UpkeepRules, now_s: float
) -> tuple[WorkerCare, UpkeepAction | None, str]:
    unused_bytes = seen.unused_bytes or 0
    why = f"{format_size(unused_bytes)} ({seen.waste or 0:.0%}) of torch's memory is unused"
    if care.in_vain < _TRIES_BEFORE_RECYCLING:
        care = replace(_trimmed(care, now_s), in_vain=care.in_vain + 1)
        return care, UpkeepAction.EMPTY, why
    if unused_bytes < rules.stuck_bytes or not _may_recycle(care, rules, now_s):
        return care, None, ""
    why += f", and emptying its cache {care.in_vain} times did not help"
    after = replace(_trimmed(care, now_s), in_vain=0)
    after = replace(after, recycled=care.recycled + 1, recycled_s=now_s)
    return after, UpkeepAction.RECYCLE, why


def _may_recycle(care: WorkerCare, rules: UpkeepRules, now_s: float) -> bool:
    if care.recycled_s is None:
        return True
    wait_s = min(_LONGEST_BACKOFF_S, rules.recycle_s * 2.0 ** min(care.recycled - 1, 10))
    return now_s - care.recycled_s >= wait_s


def _since(care: WorkerCare, now_s: float) -> float:
    return now_s - care.trimmed_s


def _trimmed(care: WorkerCare, now_s: float) -> WorkerCare:
    return replace(care, trimmed_s=now_s)
