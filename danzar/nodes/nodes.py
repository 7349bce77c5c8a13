"""This machine among the others: its signs of life, and what it knows of theirs."""

import asyncio
import logging
import math
import secrets
from collections.abc import Awaitable, Callable
from importlib import metadata

from danzar.config.node import NodeSettings, node_name
from danzar.errors import ModelMissing
from danzar.jobs.contract import QueueUnavailable
from danzar.nodes.choice import Offer, hold_back_s, ranked
from danzar.nodes.standing import Member, offers
from danzar.nodes.state import NodeState, Phase
from danzar.nodes.survey import Survey
from danzar.nodes.twin import Twin

log = logging.getLogger(__name__)

_LOOK_S = 1.0
Look = Callable[[], Awaitable[Survey]]
Pulse = Callable[[], object]


class Nodes:
    """Publishes this node, and reads all; every question is answered from what was read last.

    Attributes:
        name: What this node is called.
    """

    def __init__(
        self,
        twin: Twin,
        settings: NodeSettings,
        look: Look,
        pulse: Pulse,
        now_s: Callable[[], float],
    ) -> None:
        """Nothing is published before ``join``.

        Args:
            twin: Where all nodes publish themselves.
            settings: This node's.
            look: What this machine has now; takes a while.
            pulse: Cheap; differs whenever ``look`` would find something else that matters.
            now_s: Monotonic seconds.
        """
        self.name = node_name(settings)
        self._twin = twin
        self._settings = settings
        self._look = look
        self._pulse = pulse
        self._now_s = now_s
        self._run = secrets.token_hex(8)
        self._phase = Phase.SERVING
        self._began_at = self._phase_at = 0.0
        self._survey = Survey()
        self._members: tuple[Member, ...] = ()
        self._read_s = -math.inf
        self._published = False
        self._told_trouble = ""

    async def join(self) -> None:
        """Look around, and be known to the others; later, where the queue is not there yet."""
        self._survey = await self._look()
        try:
            self._began_at = self._phase_at = await self._twin.now()
        except QueueUnavailable as exc:
            self._tell(str(exc))
        await self._beat()
        await self._read()

    async def run(self) -> None:
        """Give signs of life, and read those of the others, until cancelled."""
        beat_s, pulse = self._now_s(), self._pulse()
        while True:
            await asyncio.sleep(min(_LOOK_S, self._settings.heartbeat_s))
            late = self._now_s() - beat_s >= self._settings.heartbeat_s
            if late or pulse != self._pulse() or not self._published:
                beat_s, pulse = self._now_s(), self._pulse()
                self._survey = await self._look()
                await self._beat()
            await self._read()

    async def begin_drain(self) -> None:
        """Tell the others that this node takes no more jobs."""
        self._phase = Phase.DRAINING
        try:
            self._phase_at = await self._twin.now()
        except QueueUnavailable as exc:
            self._tell(str(exc))
        await self._beat()

    async def leave(self) -> None:
        """Be forgotten: nobody waits for a node that left in order."""
        try:
            await self._twin.leave(self.name)
        except QueueUnavailable as exc:
            log.warning("the others will miss this node for a while: %s", exc)

    # --- what is asked of it -----------------------------------------------------------------

    @property
    def is_draining(self) -> bool:
        """Whether this node takes no more jobs."""
        return self._phase is Phase.DRAINING

    def all(self) -> tuple[Member, ...]:
        """Every node that is remembered, this one among them, by name."""
        return self._members

    @property
    def absent(self) -> frozenset[str]:
        """Models of this machine whose files are not here."""
        return self._survey.absent

    def models(self) -> frozenset[str]:
        """What the living nodes know."""
        living = (member for member in self._members if member.takes_jobs)
        return frozenset(model.name for member in living for model in member.state.models)

    def plan(self, model: str) -> tuple[Offer, ...]:
        """Which node would take a model's next job, best first.

        Raises:
            danzar.errors.ModelMissing: No living node knows it.
        """
        found = offers(model, self._members)
        if not found:
            known = ", ".join(sorted(self.models())) or "none"
            raise ModelMissing(f"no node knows the model {model!r}; known: {known}")
        return ranked(model, found)

    def hold_back_s(self, model: str) -> float:
        """How long a model's oldest job must have waited before this node may take one.

        0: at once. Infinite: this node can't place it, and another can.
        """
        mine = next((x for x in self._survey.models if x.name == model), None)
        if mine is None:
            return math.inf
        return hold_back_s(
            model,
            Offer(self.name, mine.fit, mine.card_bytes, mine.degraded),
            (offer for offer in offers(model, self._trusted()) if offer.node != self.name),
            head_start_s=self._settings.head_start_s,
            patience_s=self._settings.failure_after_s,
        )

    # --- signs of life -----------------------------------------------------------------------

    def _trusted(self) -> tuple[Member, ...]:
        """Nobody is waited for on the word of a twin that can't be read any more."""
        age_s = self._now_s() - self._read_s
        return self._members if age_s <= self._settings.failure_after_s else ()

    async def _beat(self) -> None:
        try:
            if not self._began_at:
                self._began_at = self._phase_at = await self._twin.now()
            before = await self._twin.publish(self._state())
        except QueueUnavailable as exc:
            self._published = False
            self._tell(str(exc))
            return
        same = before is None or before.run == self._run
        if self._published and not same:
            self._tell(f"another machine calls itself {self.name}, too: give one a node.name")
        self._published = True

    async def _read(self) -> None:
        try:
            self._members = await self._twin.members()
        except QueueUnavailable as exc:
            self._tell(str(exc))
            return
        self._read_s = self._now_s()
        self._told_trouble = ""

    def _tell(self, trouble: str) -> None:
        if trouble != self._told_trouble:
            log.warning("node %s: %s", self.name, trouble)
        self._told_trouble = trouble

    def _state(self) -> NodeState:
        return NodeState(
            name=self.name,
            run=self._run,
            version=metadata.version("danzar"),
            phase=self._phase,
            began_at=self._began_at,
            phase_at=self._phase_at,
            failure_after_s=self._settings.failure_after_s,
            devices=self._survey.devices,
            models=self._survey.models,
            jobs=sum(model.jobs for model in self._survey.models),
        )
