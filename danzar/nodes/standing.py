"""Whether a node lives, from its last sign of life. Pure."""

from dataclasses import dataclass
from enum import StrEnum

from danzar.nodes.choice import Offer
from danzar.nodes.state import NodeState, Phase


class Standing(StrEnum):
    """How a node stands, as the others see it."""

    ALIVE = "alive"
    DRAINING = "draining"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Member:
    """A node as the others see it.

    Attributes:
        since_s: For how long it has stood so.
        silent_s: Since its last sign of life.
    """

    state: NodeState
    standing: Standing
    since_s: float
    silent_s: float

    @property
    def name(self) -> str:
        """What it is called."""
        return self.state.name

    @property
    def takes_jobs(self) -> bool:
        """Whether it lives and does not leave."""
        return self.standing is Standing.ALIVE


def judge(state: NodeState, beat_at: float, now: float) -> Member:
    """How a node stands at ``now``, seconds of the clock that ``beat_at`` was taken from."""
    silent_s = max(0.0, now - beat_at)
    if silent_s > state.failure_after_s:
        return Member(state, Standing.LOST, silent_s, silent_s)
    draining = state.phase is Phase.DRAINING
    standing = Standing.DRAINING if draining else Standing.ALIVE
    return Member(state, standing, max(0.0, now - state.phase_at), silent_s)


def offers(model: str, members: tuple[Member, ...]) -> tuple[Offer, ...]:
    """What the nodes that take jobs have for a model."""
    found = ((member, member.state.model(model)) for member in members if member.takes_jobs)
    return tuple(
        Offer(member.name, known.fit, known.card_bytes, known.degraded)
        for member, known in found
        if known is not None
    )
