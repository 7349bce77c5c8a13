"""Whether Danzar can do its work now, and what is missing, in words. Pure.

Ready means that all of these hold, as far as they are asked for:

start      everything was opened, and the models to load first were asked for
discord    the gateway is connected (not without Discord)
telemetry  the devices' figures are not too old to decide by
models     each model that somebody may need at once is loaded, or will be when it is asked for
jobs       the queue's server answers (not where jobs are off)

A model that left for a game, or because nobody used it, is no reason: it comes back when it is
asked for. One whose load fails is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

STALE_S = 10.0
"""Figures of the devices that are older than this, and too old to decide by, are missing."""


class ModelFate(StrEnum):
    """How it stands with a model that is needed."""

    LOADED = "loaded"
    COMING = "coming"
    """It is being loaded for the first time."""
    ON_DEMAND = "on_demand"
    """It is not loaded, and will be when it is asked for."""
    BROKEN = "broken"
    """Its last load failed, or its worker has just died."""


@dataclass(frozen=True, slots=True)
class NeededModel:
    """One model that a role uses.

    Attributes:
        error: Why it is broken; empty otherwise.
    """

    name: str
    role: str
    fate: ModelFate
    error: str = ""


@dataclass(frozen=True, slots=True)
class ReadyFacts:
    """What readiness is judged by. ``None``: not asked for.

    Attributes:
        started: Whether the models to load first were asked for.
        connected: Whether Discord's gateway is connected.
        figures_age_s: How old the devices' figures are; infinite: there were none yet.
        figures_stale: Whether that is too old to decide by.
        figures_error: Why the driver gave none at the last attempt.
        queue_up: Whether the jobs' queue answers.
    """

    started: bool
    connected: bool | None
    figures_age_s: float
    figures_stale: bool
    figures_error: str | None
    models: Sequence[NeededModel]
    queue_up: bool | None


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that is needed; ``text`` says how it stands with it, or what is missing."""

    name: str
    ok: bool
    text: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """All checks that are asked for."""

    checks: tuple[Check, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return all(check.ok for check in self.checks)

    @property
    def missing(self) -> tuple[str, ...]:
        """What is missing, one sentence for each."""
        return tuple(check.text for check in self.checks if not check.ok)


def judge(facts: ReadyFacts) -> Readiness:
    """Judge each thing that is asked for."""
    checks = [_start(facts), _discord(facts), _telemetry(facts), _models(facts), _jobs(facts)]
    return Readiness(tuple(check for check in checks if check is not None))


def _start(facts: ReadyFacts) -> Check:
    text = "everything is open" if facts.started else "Danzar is still starting"
    return Check("start", facts.started, text)


def _discord(facts: ReadyFacts) -> Check | None:
    if facts.connected is None:
        return None
    text = "connected" if facts.connected else "Discord's gateway is not connected"
    return Check("discord", facts.connected, text)


def _telemetry(facts: ReadyFacts) -> Check:
    age_s = facts.figures_age_s
    ok = not (facts.figures_stale and age_s > STALE_S)
    why = "" if facts.figures_error is None else f": {facts.figures_error}"
    if ok:
        return Check("telemetry", ok, f"figures are {age_s:.1f} s old{why}")
    if age_s == float("inf"):
        return Check("telemetry", ok, f"there were no figures of the devices yet{why}")
    return Check("telemetry", ok, f"the devices' figures are {age_s:.0f} s old{why}")


def _models(facts: ReadyFacts) -> Check:
    faults = [_fault(model) for model in facts.models]
    missing = [fault for fault in faults if fault is not None]
    if missing:
        return Check("models", False, "; ".join(missing))
    loaded = sum(model.fate is ModelFate.LOADED for model in facts.models)
    return Check("models", True, f"{loaded} of {len(facts.models)} loaded, the others on demand")


def _fault(model: NeededModel) -> str | None:
    title = model.name if model.name == model.role else f"{model.name} ({model.role})"
    match model.fate:
        case ModelFate.BROKEN:
            return f"the model {title} can't be loaded: {model.error}"
        case ModelFate.COMING:
            return f"the model {title} is being loaded"
        case _:
            return None


def _jobs(facts: ReadyFacts) -> Check | None:
    if facts.queue_up is None:
        return None
    text = "the queue answers" if facts.queue_up else "the queue of jobs does not answer"
    return Check("jobs", facts.queue_up, text)
