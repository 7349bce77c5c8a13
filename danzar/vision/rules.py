"""When a rule of the profile becomes an alert. Pure; the time is an argument.

A rule tells of an *episode* once: it fires after ``frames`` consecutive frames that agree, and may
fire again only after as many frames in a row that disagree (so 39, 41, 39 at a limit of 40 is one
episode) and after its cooldown. An episode that begins within the cooldown is told when the
cooldown is over, if it still lasts.

A frame that does not say (a HUD number that OCR could not read, a model that is off) is no
evidence: it neither counts nor breaks a row. But a row is not kept for ever: when more than
``frames`` frames in a row do not say, what was counted is too old and is forgotten.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from danzar.config.profile import (
    ConceptCondition,
    Condition,
    HudCondition,
    RuleSettings,
    SeenCondition,
)
from danzar.vision.observations import Observation
from danzar.vision.stages import DETECT, RANK


@dataclass(frozen=True, slots=True)
class RuleState:
    """What a rule remembers between frames.

    Attributes:
        agreeing: Frames in a row for which the condition held.
        disagreeing: Frames in a row for which it did not.
        silent: Frames in a row that did not say.
        told: The present episode has been told.
        told_at_s: When the last alert was raised, or ``None``.
    """

    agreeing: int = 0
    disagreeing: int = 0
    silent: int = 0
    told: bool = False
    told_at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one frame says about a condition; ``holds`` is ``None`` where it does not say."""

    holds: bool | None
    reading: str


def judge(condition: Condition, observation: Observation) -> Evidence:
    """What the observation says about the condition, with the number that was measured."""
    match condition:
        case SeenCondition():
            return _judge_seen(condition, observation)
        case HudCondition():
            return _judge_hud(condition, observation)
        case ConceptCondition():
            return _judge_concept(condition, observation)


def advance(
    state: RuleState, rule: RuleSettings, holds: bool | None, now_s: float
) -> tuple[RuleState, bool]:
    """The rule's next state, and whether an alert is due now."""
    state = _count(state, rule.frames, holds)
    if holds is not True or state.agreeing < rule.frames or state.told:
        return state, False
    if state.told_at_s is not None and now_s - state.told_at_s < rule.cooldown_s:
        return state, False
    return replace(state, told=True, told_at_s=now_s), True


def is_undecided(state: RuleState, rule: RuleSettings) -> bool:
    """Whether the rule has begun to count but does not know yet."""
    return 0 < state.agreeing < rule.frames


def low_limits(rules: tuple[RuleSettings, ...]) -> Mapping[str, int]:
    """The highest limit under which the profile calls each display number low."""
    limits: dict[str, int] = {}
    for rule in rules:
        if isinstance(rule.when, HudCondition):
            limits[rule.when.field] = max(rule.when.below, limits.get(rule.when.field, 0))
    return limits


def _count(state: RuleState, frames: int, holds: bool | None) -> RuleState:
    if holds is None:
        silent = state.silent + 1
        if silent > frames:
            return replace(state, agreeing=0, disagreeing=0, silent=silent)
        return replace(state, silent=silent)
    if holds:
        return replace(state, agreeing=state.agreeing + 1, disagreeing=0, silent=0)
    disagreeing = state.disagreeing + 1
    told = state.told and disagreeing < frames
    return replace(state, agreeing=0, disagreeing=disagreeing, silent=0, told=told)


def _judge_seen(condition: SeenCondition, observation: Observation) -> Evidence:
    if DETECT not in observation.seconds:
        return Evidence(None, "nothing was looked for")
    scores = [d.confidence for d in observation.detections if d.label == condition.label]
    if not scores:
        return Evidence(False, f"no {condition.label}")
    reading = f"{condition.label} seen with {max(scores):.0%} confidence"
    return Evidence(max(scores) >= condition.confidence, reading)


def _judge_hud(condition: HudCondition, observation: Observation) -> Evidence:
    number: int | None = getattr(observation.hud, condition.field)
    if number is None:
        return Evidence(None, f"{condition.field} not read")
    return Evidence(
        number < condition.below, f"{condition.field} {number}, below {condition.below}"
    )


def _judge_concept(condition: ConceptCondition, observation: Observation) -> Evidence:
    if RANK not in observation.seconds:
        return Evidence(None, "concepts were not ranked")
    score = next((i.score for i in observation.insights if i.concept == condition.concept), 0.0)
    reading = f"{condition.concept} at {score:.0%}, above {condition.above:.0%}"
    return Evidence(score > condition.above, reading)
