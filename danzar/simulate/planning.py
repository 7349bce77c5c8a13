"""One question to the planner about a described world, as it stands. Pure."""

from danzar.core.book import Book, Lease, LeaseState
from danzar.core.candidates import on_host, whole
from danzar.core.device import CPU_UUID
from danzar.core.eviction import Resident
from danzar.core.model import device_order
from danzar.core.plan import Demand, PlanInputs, Share
from danzar.errors import BadInput, ModelMissing
from danzar.simulate.machine import Machine
from danzar.simulate.world import SimModel, World

_NOW_S = 1_000_000.0


def plan_inputs(world: World, model: str) -> PlanInputs:
    """What a plan for a model is made from, with the models where the world says they are.

    Raises:
        ModelMissing: The world has no such model.
        BadInput: The models do not fit where the world says they are.
    """
    if model not in world.models:
        known = ", ".join(sorted(world.models))
        raise ModelMissing(f"no model is called {model!r}; the file has {known}")
    machine, leases, residents = Machine(world.devices), list[Lease](), list[Resident]()
    for load_id, loaded in enumerate(_loaded(world, besides=model), start=1):
        shares = _shares(world, loaded)
        if machine.hold(load_id, ((s.device_uuid, s.size_bytes) for s in shares)) is not None:
            name = loaded.facts.name
            raise BadInput(f"{name} can't be loaded where the file says: there is too little room")
        first = len(leases) + 1
        leases += [_lease(first + i, loaded, share) for i, share in enumerate(shares)]
        residents.append(_resident(loaded, leases[first - 1 :]))
    devices = machine.snapshots(_NOW_S)
    facts = world.models[model].facts
    return PlanInputs(
        demand=Demand(
            model=model,
            purpose=facts.purpose,
            variants=facts.variants,
            context_bytes=facts.context_bytes,
            process_bytes=facts.process_bytes,
            device_order=device_order(facts, devices),
            shared_on=_homes(world, facts.worker, besides=model),
            allow_cpu=facts.allow_cpu,
            wants_cpu=facts.wants_cpu,
            protected=facts.protected,
        ),
        devices=devices,
        book=Book(
            world.reservations,
            tuple(world.budgets_bytes.items()),
            world.limits,
            world.margins,
            tuple(leases),
        ),
        residents=tuple(residents),
        rules=world.rules.plan,
        now_s=_NOW_S,
    )


def _loaded(world: World, besides: str) -> list[SimModel]:
    return [m for name, m in world.models.items() if m.loaded is not None and name != besides]


def _homes(world: World, worker: str, besides: str) -> frozenset[str]:
    """Devices on which the worker's process lives already."""
    return frozenset(
        world.device(m.loaded.device).uuid
        for m in _loaded(world, besides)
        if m.loaded is not None and m.facts.worker == worker
    )


def _shares(world: World, model: SimModel) -> tuple[Share, ...]:
    """What it holds; each is counted with a process of its own."""
    if model.loaded is None:
        return ()
    uuid = world.device(model.loaded.device).uuid
    if uuid == CPU_UUID:
        return on_host(_alone(model, uuid), model.facts.variants[0], uuid).shares
    host_uuid = next((d.uuid for d in world.devices if d.uuid == CPU_UUID), None)
    return whole(_alone(model, uuid), model.facts.variants[0], uuid, host_uuid).shares


def _alone(model: SimModel, uuid: str) -> Demand:
    facts = model.facts
    return Demand(
        facts.name, facts.purpose, facts.variants, facts.context_bytes, facts.process_bytes, (uuid,)
    )


def _lease(lease_id: int, model: SimModel, share: Share) -> Lease:
    name, purpose = model.facts.name, model.facts.purpose
    state = LeaseState.RESIDENT
    return Lease(lease_id, name, purpose, share.device_uuid, share.size_bytes, state)


def _resident(model: SimModel, leases: list[Lease]) -> Resident:
    loaded, facts = model.loaded, model.facts
    if loaded is None:
        raise AssertionError(f"{facts.name} is not loaded")
    return Resident(
        model=facts.name,
        shares=tuple((x.device_uuid, x.lease_id, x.size_bytes) for x in leases),
        priority=facts.priority,
        pinned=facts.pinned,
        protected=facts.protected,
        in_flight=loaded.in_flight,
        last_used_s=_NOW_S - loaded.idle_s,
        loaded_s=_NOW_S - loaded.loaded_s,
        reload_s=model.load_s(facts.cuda_bytes),
        use_probability=loaded.use_probability,
    )
