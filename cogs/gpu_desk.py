"""What operators may do to the models: each wish is shown, confirmed, done and audited."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from discord.ext import commands

from cogs.common import actor_of
from cogs.confirm import Wish, ask_first
from danzar.broker.decision import Decision
from danzar.broker.model_view import ModelView
from danzar.broker.prefetch_view import PrefetchView
from danzar.broker.reservations import Asked, Reservations, parse_amount, parse_purpose
from danzar.core.book import Reservation
from danzar.core.device import DeviceKind, DeviceSnapshot, find_device
from danzar.core.plan import Plan, PlanInputs
from danzar.errors import BadInput
from danzar.explain.model_text import amount, find_model, place_text
from danzar.explain.outlook import Outlook, load_outlook, reserve_outlook, unload_outlook

Audit = Callable[[str, str, str], Awaitable[None]]


class Models(Protocol):
    """The part of ``danzar.broker.manager.ModelManager`` that people see and steer."""

    @property
    def decisions(self) -> tuple[Decision, ...]:
        """What was loaded and unloaded lately, and why; oldest first."""
        ...

    def now_s(self) -> float:
        """The scheduler's clock, monotonic seconds."""
        ...

    def models(self) -> tuple[ModelView, ...]:
        """Every model as it is now."""
        ...

    def plan(self, model: str) -> tuple[PlanInputs, Plan]:
        """Where a model would go now; touches nothing."""
        ...

    def why(self, model: str) -> tuple[PlanInputs, Plan] | None:
        """The last decision about a model."""
        ...

    def prefetches(self) -> PrefetchView:
        """What loading ahead has brought."""
        ...

    async def load(self, model: str) -> None:
        """Load a model; idle ones leave for it."""
        ...

    async def unload(self, model: str) -> None:
        """Unload a model once it is idle."""
        ...

    def pin(self, model: str, pinned: bool) -> None:
        """Keep a model loaded whatever happens, or let it go again."""
        ...


@dataclass(frozen=True, slots=True)
class GpuDesk:
    """Everything that the commands about models need.

    Attributes:
        snapshots: The devices as they were last measured.
        audit: ``(actor, action, detail)`` into the store.
    """

    models: Models
    reservations: Reservations
    snapshots: Callable[[], tuple[DeviceSnapshot, ...]]
    audit: Audit

    def find(self, wanted: str) -> ModelView:
        """The model that someone typed.

        Raises:
            danzar.errors.ModelMissing: There is none; the message has the nearest name.
        """
        views = {view.name: view for view in self.models.models()}
        return views[find_model(wanted, views)]

    def find_gpu(self, wanted: str) -> DeviceSnapshot:
        """The GPU that someone typed: ``cuda:1``, ``1`` or a UUID.

        Raises:
            BadInput: There is none; the message lists them.
        """
        gpus = tuple(s for s in self.snapshots() if s.kind is DeviceKind.CUDA)
        typed = wanted.strip()
        named = f"cuda:{typed}" if typed.isdecimal() else typed
        found = find_device(gpus, named) or find_device(gpus, named.casefold())
        if found is None:
            known = ", ".join(s.label for s in gpus) or "none"
            raise BadInput(f"there is no such GPU; known: {known}")
        return found

    def kept(self) -> tuple[list[tuple[str, str, str]], list[tuple[str, Asked]]]:
        """What is kept free, as ``render_reservations`` takes it."""
        labels = {s.uuid: s.label for s in self.snapshots()}
        asked = self.reservations.asked
        own = {row.reservation for row in asked}
        kept = [r for r in self.reservations.all if r not in own]
        return (
            [
                (labels.get(r.device_uuid, r.device_uuid), r.purpose, amount(r.size_bytes))
                for r in kept
            ],
            [(labels.get(r.device_uuid, r.device_uuid), r) for r in asked],
        )

    # --- wishes ------------------------------------------------------------------------------

    async def load(self, ctx: commands.Context[Any], wanted: str) -> None:
        """Ask, then load."""
        name = self.find(wanted).name

        async def outlook() -> Outlook:
            inputs, plan = self.models.plan(name)
            views = self.models.models()
            return await asyncio.to_thread(load_outlook, self.find(name), inputs, plan, views)

        async def act() -> str:
            await self._note(ctx, "gpu.load", name)
            await self.models.load(name)
            return f"✅ {name} is {place_text(self.find(name))}."

        await ask_first(ctx, Wish(f"Load {name}?", "Load", outlook, act))

    async def unload(self, ctx: commands.Context[Any], wanted: str) -> None:
        """Ask, then unload."""
        name = self.find(wanted).name

        async def outlook() -> Outlook:
            return unload_outlook(self.find(name))

        async def act() -> str:
            await self._note(ctx, "gpu.unload", name)
            await self.models.unload(name)
            return f"✅ {name} is {place_text(self.find(name))}."

        await ask_first(ctx, Wish(f"Unload {name}?", "Unload", outlook, act))

    async def pin(self, ctx: commands.Context[Any], wanted: str, *, pinned: bool) -> str:
        """Pin or unpin at once: it moves nothing. Returns what is now, in one line."""
        name = self.find(wanted).name
        await self._note(ctx, "gpu.pin" if pinned else "gpu.unpin", name)
        self.models.pin(name, pinned)
        if pinned:
            return f"📌 {name} is pinned until the next restart: nothing makes it leave by itself."
        return f"📌 {name} is no longer pinned: it may leave when others need its room."

    async def reserve(
        self, ctx: commands.Context[Any], device: str, size: str, purpose: str
    ) -> None:
        """Ask, then keep bytes free on a GPU."""
        gpu = self.find_gpu(device)
        wanted = Reservation(gpu.uuid, parse_purpose(purpose), parse_amount(size))
        what = f"{amount(wanted.size_bytes)} on {gpu.label} for {wanted.purpose}"

        async def outlook() -> Outlook:
            views = self.models.models()
            plans = {view.name: self.models.plan(view.name)[0] for view in views}
            after = self.reservations.with_one(wanted)
            now = self.find_gpu(gpu.uuid)
            return await asyncio.to_thread(reserve_outlook, wanted, now, after, plans, views)

        async def act() -> str:
            await self._note(ctx, "gpu.reserve", what)
            await self.reservations.add(wanted, ctx.author.display_name)
            return f"✅ {what}: kept from now on, also after a restart."

        await ask_first(ctx, Wish(f"Keep {what}?", "Reserve", outlook, act))

    async def clear(self, ctx: commands.Context[Any], device: str | None) -> None:
        """Ask, then forget people's reservations of one GPU, or of all."""
        gpu = None if device is None else self.find_gpu(device)
        where = "everywhere" if gpu is None else f"on {gpu.label}"
        uuid = None if gpu is None else gpu.uuid

        async def outlook() -> Outlook:
            gone = [r for r in self.reservations.asked if uuid in (None, r.device_uuid)]
            if not gone:
                return Outlook((), refusal=f"Nobody reserved anything {where}.")
            lines = (f"{amount(r.size_bytes)} for {r.purpose} would be free for all." for r in gone)
            return Outlook(tuple(lines), tuple(gone))

        async def act() -> str:
            gone = await self.reservations.clear(uuid)
            await self._note(ctx, "gpu.reserve.clear", f"{len(gone)} {where}")
            return f"✅ {len(gone)} reservations {where} are gone; the configured ones stay."

        await ask_first(ctx, Wish(f"Clear reservations {where}?", "Clear", outlook, act))

    async def _note(self, ctx: commands.Context[Any], action: str, detail: str) -> None:
        await self.audit(actor_of(ctx), action, detail)
