"""What readiness is judged by, read from the services at one instant."""

from danzar.bot import DanzarBot
from danzar.core.instance import HELD, InstanceState
from danzar.readiness import ModelFate, NeededModel, Readiness, ReadyFacts, judge
from danzar.services import Services, needed_models


def readiness_of(services: Services, bot: DanzarBot | None) -> Readiness:
    """Whether Danzar can do its work now; ``bot`` is ``None`` without Discord."""
    return judge(ready_facts(services, bot))


def ready_facts(services: Services, bot: DanzarBot | None) -> ReadyFacts:
    """What is known now; asks nobody."""
    needed = needed_models(services.live.config)
    reading = services.sampler.reading
    age_s = reading.age_s(services.manager.now_s())
    return ReadyFacts(
        started=services.first_loads.asked is not None,
        connected=None if bot is None else is_connected(bot),
        figures_age_s=float("inf") if age_s is None else age_s,
        figures_stale=services.sampler.is_stale,
        figures_error=reading.error,
        models=tuple(_needed(services, role, name) for role, name in needed.items()),
        queue_up=None if services.jobs is None else services.jobs.healthy,
    )


def is_connected(bot: DanzarBot) -> bool:
    """Whether the gateway's socket is open and Discord has said hello."""
    # discord.py types ``ws`` as never None, and it is until the first connection.
    gateway: object = bot.ws
    return gateway is not None and bot.is_ready() and bot.ws.open


def _needed(services: Services, role: str, name: str) -> NeededModel:
    firsts = services.first_loads
    instance = services.manager.scheduler.instances.get(name)
    if instance is None:
        return NeededModel(name, role, ModelFate.BROKEN, "models.yaml has no such model any more")
    if instance.state in HELD:
        return NeededModel(name, role, ModelFate.LOADED)
    if name in firsts.failed:
        return NeededModel(name, role, ModelFate.BROKEN, firsts.failed[name])
    waits = instance.state is InstanceState.FAILED
    if waits and services.manager.now_s() < instance.not_before_s:
        return NeededModel(name, role, ModelFate.BROKEN, instance.last_error or "it failed")
    first = name in (firsts.asked or ()) and name not in firsts.loaded
    coming = first and instance.state is InstanceState.LOADING
    return NeededModel(name, role, ModelFate.COMING if coming else ModelFate.ON_DEMAND)
