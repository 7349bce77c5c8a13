"""How long each class of requests waited, and each person in it. Pure."""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import msgspec

from danzar.core.asker import Asker, RequestClass
from danzar.core.fair import Bounds
from danzar.simulate.percentile import percentile


class ClassWait(msgspec.Struct, frozen=True):
    """Seconds from asking to starting, over one class.

    Attributes:
        requests: Those that started.
        refused: Those that were not taken, or gave up their place.
        late: Those that waited longer than the bound.
        worst_person_s: The longest that one person waited on average.
    """

    requests: int
    refused: int
    p50_s: float
    p99_s: float
    max_s: float
    bound_s: float
    late: int
    worst_person_s: float


def class_waits(
    waits_s: Mapping[Asker, Sequence[float]], refused: Mapping[Asker, int], bounds_s: Bounds
) -> dict[str, ClassWait]:
    """The classes in which a request started."""
    by_class: dict[RequestClass, list[Sequence[float]]] = defaultdict(list)
    for asker, waits in waits_s.items():
        by_class[asker.kind].append(waits)
    lost: dict[RequestClass, int] = defaultdict(int)
    for asker, count in refused.items():
        lost[asker.kind] += count
    return {
        str(kind): _class_wait(by_class[kind], lost[kind], bounds_s[kind])
        for kind in RequestClass
        if by_class[kind]
    }


def _class_wait(people: Sequence[Sequence[float]], refused: int, bound_s: float) -> ClassWait:
    ordered = sorted(wait for waits in people for wait in waits)
    return ClassWait(
        requests=len(ordered),
        refused=refused,
        p50_s=round(percentile(ordered, 50), 3),
        p99_s=round(percentile(ordered, 99), 3),
        max_s=round(ordered[-1], 3),
        bound_s=bound_s,
        late=sum(wait > bound_s for wait in ordered),
        worst_person_s=round(max(sum(waits) / len(waits) for waits in people), 3),
    )
