"""A host whose RAM is counted byte by byte, around a real scheduler that keeps things warm."""

from dataclasses import replace

from danzar.core.book import Margins
from danzar.core.device import CPU_UUID
from danzar.core.events import (
    DropWarm,
    LoadFinished,
    LoadRequested,
    SnapshotsTaken,
    StartLoad,
    StartStandby,
    StartUnload,
    Tick,
    UnloadFinished,
    UnloadRequested,
    WarmGone,
    WarmKept,
)
from danzar.core.ledger import Ledger
from danzar.core.reload import LoadWay, ProcessFrom
from danzar.core.scheduler import Scheduler
from danzar.core.state import SchedulerRules
from danzar.core.variant import Rung, Variant
from danzar.core.warm import warm_bytes
from danzar.core.warm_items import WarmPhase, WarmRules, standby_of, weights_of
from danzar.units import MIB
from tests.core.worlds import host, model

MARGIN = 100 * MIB
PROCESS = 600 * MIB


def vision(name, size_mib, *, warm_mib=None, process=0, **changes):
    """A model that runs on the CPU and can be kept warm."""
    size = size_mib * MIB
    return model(
        name,
        purpose="vision",
        variants=(Variant(Rung.FULL, size, size),),
        worker="torch",
        warm_bytes=(size_mib if warm_mib is None else warm_mib) * MIB,
        process_bytes=process,
        wants_cpu=True,
        **changes,
    )


class Host:
    """Carries out what the scheduler asks for; ``finish`` ends what is under way."""

    def __init__(self, *models, budget_mib=1000, free_mib=8000, standby=False, limits=()):
        self.rules = SchedulerRules(warm=WarmRules(budget_mib * MIB, standby))
        ledger = Ledger((), {}, Margins(cuda_bytes=0, host_bytes=MARGIN), limits)
        self.scheduler = Scheduler(models, ledger, self.rules)
        self.total = free_mib * MIB
        self.foreign = 0
        self.now_s = 0.0
        self.held = {}  # bytes that are really taken, by what takes them
        self.under_way = []
        self.done = []
        self.tell(SnapshotsTaken(self.snapshots()))

    @property
    def free(self):
        return self.total - self.foreign - sum(self.held.values())

    @property
    def state(self):
        return self.scheduler.state

    def snapshots(self):
        free = self.free
        return (
            replace(host(), total_bytes=self.total, free_bytes=free, used_bytes=self.total - free),
        )

    def tell(self, event):
        effects = self.scheduler.handle(event, self.now_s)
        self.under_way += effects
        self.done += effects
        assert warm_bytes(self.state) <= self.state.rules.warm.budget_bytes
        return effects

    def load(self, name):
        self.tell(LoadRequested(name))

    def unload(self, name):
        self.tell(UnloadRequested(name))

    def read(self, seconds=1.0):
        """Time passes, and the driver is asked."""
        self.now_s += seconds
        self.tell(SnapshotsTaken(self.snapshots()))
        self.tell(Tick())

    def finish(self, *, seconds=5.0, measured_mib=None):
        """End everything that is under way, in its order; what that starts, too."""
        while self.under_way:
            self.end(self.under_way.pop(0), seconds, measured_mib)

    def end(self, effect, seconds=5.0, measured_mib=None):
        match effect:
            case DropWarm(key):
                self.held.pop(key, None)
                self.tell(WarmGone(key, "dropped", self.snapshots()))
            case StartLoad(name, load_id, placed):
                for share in placed.shares:
                    assert self.free - share.size_bytes >= MARGIN, "a load found no room"
                    self.held[name] = share.size_bytes
                way = LoadWay(weights_of(name) in self.held, ProcessFrom.NEW)
                self.tell(LoadFinished(name, load_id, (), self.snapshots(), seconds, way))
            case StartUnload(name, load_id):
                if effect.keep_bytes and self.is_wanted(weights_of(name)):
                    self.keep(weights_of(name), effect.keep_bytes, measured_mib)
                self.held.pop(name, None)
                self.tell(UnloadFinished(name, load_id, self.snapshots()))
            case StartStandby(worker):
                key = standby_of(worker)
                if self.is_wanted(key):
                    self.keep(key, PROCESS, measured_mib)

    def keep(self, key, booked, measured_mib=None):
        self.held[key] = booked if measured_mib is None else measured_mib * MIB
        self.tell(WarmKept(key, self.held[key], self.snapshots()))

    def is_wanted(self, key):
        return self.state.warm.phase(key) is WarmPhase.KEEPING

    def is_kept(self, name):
        return self.state.warm.phase(weights_of(name)) is WarmPhase.KEPT

    def dropped(self):
        return [str(e.key) for e in self.done if isinstance(e, DropWarm)]

    def warm_leases(self):
        leases = self.scheduler.ledger.leases_on(CPU_UUID)
        return {x.model: x.size_bytes for x in leases if x.purpose == "warm"}
