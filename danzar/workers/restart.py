"""When a worker that died may be started again. Pure."""

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """Waits double from ``first_s`` to ``longest_s``; ``stable_s`` of life forgets the failures."""

    first_s: float = 1.0
    longest_s: float = 300.0
    stable_s: float = 60.0


@dataclass(frozen=True, slots=True)
class RestartState:
    """What is remembered of one worker's past.

    Attributes:
        failures: Deaths in a row, without a stable life between them.
        started_s: Monotonic seconds of the last start; ``None`` before the first one.
        not_before_s: Monotonic seconds before which it must not be started again.
    """

    failures: int = 0
    started_s: float | None = None
    not_before_s: float = 0.0


def on_started(state: RestartState, now_s: float) -> RestartState:
    """The state after the worker became ready."""
    return replace(state, started_s=now_s)


def on_died(state: RestartState, policy: RestartPolicy, now_s: float) -> RestartState:
    """The state after it died or could not start, with the next allowed start."""
    lived_s = 0.0 if state.started_s is None else now_s - state.started_s
    failures = 1 if lived_s >= policy.stable_s else state.failures + 1
    return RestartState(failures, None, now_s + backoff_s(policy, failures))


def wait_s(state: RestartState, now_s: float) -> float:
    """Seconds until the worker may be started; 0 is now."""
    return max(0.0, state.not_before_s - now_s)


def backoff_s(policy: RestartPolicy, failures: int) -> float:
    """Seconds to wait after so many deaths in a row."""
    if failures <= 0:
        return 0.0
    # Bounded before the power, so that an old failing worker does not overflow a float.
    doublings = min(failures - 1, 64)
    return float(min(policy.first_s * 2.0**doublings, policy.longest_s))
