"""One model as people see it: a frozen copy of what the scheduler knows. Pure."""

from dataclasses import dataclass

from danzar.core.book import LeaseState
from danzar.core.device import CPU_UUID
from danzar.core.instance import HELD, Instance, InstanceState
from danzar.core.plan import Share
from danzar.core.reload import ProcessFrom
from danzar.core.state import State
from danzar.core.variant import Rung
from danzar.core.warm_items import WarmPhase, weights_of
from danzar.core.warm_ways import reload_of


@dataclass(frozen=True, slots=True)
class ShareView:
    """What a model holds of one device.

    Attributes:
        device: ``cuda:N`` or ``cpu``; the UUID of a device that is no longer there.
        estimated_bytes: What the plan booked.
        leased_bytes: What stands in the book now: measured once loaded, where the driver says.
        layers: How many of the model's layers are there; ``None`` when it is not divided.
    """

    device_uuid: str
    device: str
    simulated: bool
    estimated_bytes: int
    leased_bytes: int
    lease: LeaseState
    layers: int | None


@dataclass(frozen=True, slots=True)
class ModelView:
    """One model at one instant.

    Attributes:
        shares: The hosting device first; empty while it is not loaded.
        rung: How it is loaded, ``None`` while it is not.
        degraded: Why it runs worse than configured; ``None`` when it does not.
        estimated_bytes: What it takes as configured, whole on one GPU (in host RAM, for one that
            belongs there), without what its process takes besides.
        pinned: Never evicted. ``protected``: never moved for other programs.
        reload_s: What loading it again is expected to take, as things stand.
        reload_warm: Its weights would come from host RAM.
        reload_measured: Loads that went the same way took so long; else it is estimated.
        standby: A process waits for it.
        warm_bytes: What is kept of it in host RAM; 0 for nothing.
        use_probability: How likely it is wanted within the next two minutes, 0 to 1.
        idle_s: Since its last request ended; ``None`` while it is not loaded or busy.
        yielded: It left for other programs and will come back.
        last_error: Why the last load failed; ``None`` when it did not.
        retry_in_s: When it may be loaded again after that; ``None`` when at once.
    """

    name: str
    purpose: str
    state: InstanceState
    shares: tuple[ShareView, ...]
    rung: Rung | None
    degraded: str | None
    estimated_bytes: int
    priority: int
    pinned: bool
    protected: bool
    in_flight: int
    waiting: int
    reload_s: float
    use_probability: float
    idle_s: float | None
    yielded: bool
    last_error: str | None
    retry_in_s: float | None
    reload_warm: bool = False
    reload_measured: bool = False
    standby: bool = False
    warm_bytes: int = 0

    @property
    def is_loaded(self) -> bool:
        """Whether it can answer, or is finishing what it answers."""
        return self.state in HELD

    @property
    def hosts(self) -> tuple[ShareView, ...]:
        """Its shares on GPUs; the one in host RAM where it has no others."""
        on_gpus = tuple(share for share in self.shares if share.device_uuid != CPU_UUID)
        return on_gpus or self.shares

    @property
    def device(self) -> str | None:
        """``cuda:0``, ``cuda:0 + cuda:1`` where it is divided, or ``None`` while it has none."""
        return " + ".join(dict.fromkeys(share.device for share in self.hosts)) or None

    @property
    def simulated(self) -> bool:
        """Whether a card that it is on is simulated."""
        return any(share.simulated for share in self.shares)

    @property
    def leased_bytes(self) -> int:
        """What is booked for it where it runs, without the host RAM beside a GPU."""
        return sum(share.leased_bytes for share in self.hosts)

    @property
    def beside_bytes(self) -> int:
        """Host RAM that is booked for it beside its GPUs."""
        return sum(s.leased_bytes for s in self.shares if s not in self.hosts)


def model_views(state: State, now_s: float) -> tuple[ModelView, ...]:
    """Every model, in the order of the configuration."""
    return tuple(_view(state, instance, now_s) for instance in state.instances.values())


def _view(state: State, instance: Instance, now_s: float) -> ModelView:
    facts = instance.facts
    shares = _shares(state, instance)
    reload = reload_of(state, instance)
    wait_s = instance.not_before_s - now_s
    return ModelView(
        name=facts.name,
        purpose=facts.purpose,
        state=instance.state,
        shares=shares,
        rung=instance.placed.rung if instance.placed else None,
        degraded=instance.degraded,
        estimated_bytes=facts.configured_bytes,
        priority=facts.priority,
        pinned=facts.pinned,
        protected=facts.protected,
        in_flight=len(instance.in_flight),
        waiting=len(instance.queue),
        reload_s=reload.seconds,
        reload_warm=reload.way.warm,
        reload_measured=reload.measured,
        standby=reload.way.process is ProcessFrom.STANDBY,
        warm_bytes=_warm_bytes(state, facts.name),
        use_probability=instance.usage.use_probability(now_s),
        idle_s=_idle_s(instance, now_s),
        yielded=instance.yielded_s is not None and instance.state is InstanceState.COLD,
        last_error=instance.last_error,
        retry_in_s=wait_s if instance.state is InstanceState.FAILED and wait_s > 0 else None,
    )


def _warm_bytes(state: State, model: str) -> int:
    """Its weights where they are kept, or else what the page cache has of its file."""
    item = state.warm.items.get(weights_of(model))
    if item is not None and item.phase is WarmPhase.KEPT:
        return state.ledger.lease(item.lease_id).size_bytes
    pages = state.warm.pages.get(model)
    return 0 if pages is None else pages.resident_bytes or 0


def _shares(state: State, instance: Instance) -> tuple[ShareView, ...]:
    planned = instance.placed.shares if instance.placed else ()
    # While a batch grows, what it claims stands behind the shares.
    pairs = zip(planned, instance.lease_ids, strict=False)
    return tuple(_share(state, share, lease_id) for share, lease_id in pairs)


def _share(state: State, share: Share, lease_id: int) -> ShareView:
    lease, device = state.ledger.lease(lease_id), state.device(share.device_uuid)
    return ShareView(
        device_uuid=share.device_uuid,
        device=device.label if device else share.device_uuid,
        simulated=device.simulated if device else False,
        estimated_bytes=share.size_bytes,
        leased_bytes=lease.size_bytes,
        lease=lease.state,
        layers=share.layers,
    )


def _idle_s(instance: Instance, now_s: float) -> float | None:
    if instance.state is not InstanceState.READY or not instance.is_idle:
        return None
    return max(0.0, now_s - instance.last_used_s)
