"""The life of one loaded model, as a table. Pure.

cold -> loading -> ready -> draining -> unloading -> cold
          |          |          |           |
          +----------+----------+-----------+--> failed -> loading (after its backoff)
"""

from enum import StrEnum


class InstanceState(StrEnum):
    """Where a model is in its life."""

    COLD = "cold"
    LOADING = "loading"
    READY = "ready"
    DRAINING = "draining"
    UNLOADING = "unloading"
    FAILED = "failed"


TRANSITIONS: dict[InstanceState, frozenset[InstanceState]] = {
    InstanceState.COLD: frozenset({InstanceState.LOADING}),
    InstanceState.LOADING: frozenset({InstanceState.READY, InstanceState.FAILED}),
    InstanceState.READY: frozenset(
        {InstanceState.DRAINING, InstanceState.UNLOADING, InstanceState.FAILED}
    ),
    InstanceState.DRAINING: frozenset({InstanceState.UNLOADING, InstanceState.FAILED}),
    InstanceState.UNLOADING: frozenset({InstanceState.COLD, InstanceState.FAILED}),
    InstanceState.FAILED: frozenset({InstanceState.LOADING}),
}


def can_become(current: InstanceState, wanted: InstanceState) -> bool:
    """Whether the table allows the step."""
    return wanted in TRANSITIONS[current]
