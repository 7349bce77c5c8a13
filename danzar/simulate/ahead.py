"""Whether a load ahead was ever in the way of something that was asked for.

What is watched: a requested model waits while bytes of a load ahead are on their way back on the
device where it goes, or while it is itself being let go; a load ahead runs beside a requested one,
so that both read the same disk. A load ahead that is cancelled stops reading at once; its bytes
come back after the world's ``unload_s``.
"""

from collections.abc import Iterable

from danzar.core.events import CancelLoad, Effect, StartLoad, StartUnload
from danzar.core.instance import Instance, InstanceState
from danzar.core.plan import NeedsEviction, WaitForIdle, WaitForRelease
from danzar.core.scheduler import Scheduler

_NOTHING_S = 1e-6


class AheadWatch:
    """Looks on; ``delayed`` names each requested load that began later than it might have."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._ahead: dict[str, int] = {}
        self._leaving: dict[int, str] = {}
        self._hindered: set[str] = set()
        self.delayed: list[str] = []
        self.shared: list[str] = []

    def before(self) -> None:
        """Who is loaded ahead now; to be called before the scheduler hears of anything."""
        self._ahead = {
            i.name: i.load_id
            for i in self._scheduler.instances.values()
            if i.prefetch is not None and i.load_id is not None
        }

    def after(self, effects: Iterable[Effect], now_s: float) -> None:
        """What the scheduler asked for; to be called right after it was asked."""
        for effect in effects:
            match effect:
                case CancelLoad(model, load_id, device_uuid):
                    self._leaving[load_id] = device_uuid
                case StartUnload(model, load_id, device_uuid):
                    if self._ahead.get(model) == load_id:
                        self._leaving[load_id] = device_uuid
                case StartLoad(model):
                    self._loads(self._scheduler.instances[model], now_s)
                case _:
                    pass
        if not (self._ahead or self._leaving):
            return
        for instance in self._scheduler.instances.values():
            if instance.asked_s is not None and self._is_hindered(instance):
                self._hindered.add(instance.name)

    def unloaded(self, load_id: int) -> None:
        """The bytes of a load are back."""
        self._leaving.pop(load_id, None)

    def at_rest(self, now_s: float) -> None:
        """Nothing more happens at this instant."""
        loading = [
            i for i in self._scheduler.instances.values() if i.state is InstanceState.LOADING
        ]
        ahead = [i.name for i in loading if i.prefetch is not None]
        asked = [i.name for i in loading if i.prefetch is None]
        if ahead and asked:
            self.shared.append(f"{now_s:.1f}: {ahead} beside {asked}")

    def _loads(self, instance: Instance, now_s: float) -> None:
        asked_s = instance.asked_s
        if asked_s is not None and instance.name in self._hindered and now_s > asked_s + _NOTHING_S:
            self.delayed.append(f"{now_s:.1f}: {instance.name} by {now_s - asked_s:.2f} s")
        self._hindered.discard(instance.name)

    def _is_hindered(self, instance: Instance) -> bool:
        if instance.state is InstanceState.UNLOADING:
            return instance.load_id in self._leaving
        if instance.state is not InstanceState.COLD or instance.last_plan is None:
            return False
        plan = instance.last_plan[1]
        match plan:
            case NeedsEviction(_, victims):
                return any(name in self._ahead for name in victims)
            case WaitForRelease(device_uuid):
                return device_uuid in self._leaving.values()
            case WaitForIdle(_, models):
                return any(name in self._ahead for name in models)
            case _:
                return False
