"""Machines, budgets and requests for the tests; the profiles are the shipped ones."""

from dataclasses import dataclass, field, replace

from danzar.core.device_memory import DeviceMemory, describe_memory
from danzar.core.ledger import Ledger
from danzar.resources.machine import DeviceRoom
from danzar.resources.profiles import find_profile, shipped_profiles
from danzar.resources.request import Request, read_request
from danzar.resources.requirement import Budget
from danzar.resources.subject import Speed, Subject, subject_of
from danzar.units import GIB

PROFILES = shipped_profiles()
SEED_PARAMS = {"model_type": "t2v-A14B", "resolution": "1080p", "steps": 60, "duration": 8}


def subject(model: str, card: str | None = "RTX 4090") -> Subject:
    name, profile = find_profile(PROFILES, model)
    found = subject_of(PROFILES, name)
    if card is None:
        return found
    return replace(
        found, speed=Speed(PROFILES.cards[card].tflops.value * profile.efficiency.value, card)
    )


def request(model: str, **params: object) -> Request:
    return read_request({"model_type": model, **params}, find_profile(PROFILES, model)[1])


def budget(
    vram_gib: float, ram_gib: float = 128, disk_gib: float = 10, time_s: float | None = None
) -> Budget:
    return Budget(
        "cuda:0", round(vram_gib * GIB), round(ram_gib * GIB), round(disk_gib * GIB), time_s
    )


def room(
    label: str = "cuda:0",
    room_gib: float | None = 10.0,
    after_idle_gib: float | None = None,
    idle: tuple[str, ...] = (),
    name: str = "NVIDIA GeForce RTX 4070",
) -> DeviceRoom:
    now = None if room_gib is None else round(room_gib * GIB)
    after = now if after_idle_gib is None else round(after_idle_gib * GIB)
    return DeviceRoom(label, f"GPU-{label}", name, 12 * GIB, now, after, idle)


@dataclass
class Machine:
    """A machine of plain figures."""

    devices: tuple[DeviceRoom, ...] = ()
    ram: DeviceRoom | None = field(default_factory=lambda: room("cpu", 64.0, name="host RAM"))
    measured: tuple[DeviceMemory, ...] = ()

    def cards(self) -> tuple[DeviceRoom, ...]:
        return self.devices

    def host(self) -> DeviceRoom | None:
        return self.ram

    def memory(self) -> tuple[DeviceMemory, ...]:
        return self.measured


def measured(*snapshots) -> tuple[DeviceMemory, ...]:
    ledger = Ledger()
    return tuple(describe_memory(s, ledger, frozenset()) for s in snapshots)
