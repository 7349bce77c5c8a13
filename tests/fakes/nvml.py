"""A fake NVIDIA driver for tests: builds ``libnvidia-ml.so.1`` and edits the world it reports.

In this process: ``install(monkeypatch, library, world)``. For a child process:
``child_environment(library, world)`` as (part of) its environment.
"""

import ctypes
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pynvml
import pytest

GIB = 1024**3
_SOURCE = Path(__file__).parent.parent / "telemetry" / "fake_nvml" / "fake_nvml.c"


@dataclass
class FakeCard:
    """One card as the driver reports it."""

    uuid: str
    name: str = "NVIDIA GeForce RTX 4070"
    bus: str = "00000000:01:00"
    total_bytes: int = 12 * GIB
    free_bytes: int = 11 * GIB
    used_bytes: int = 1 * GIB
    utilisation_pct: int = 7
    temperature_c: int = 41
    power_mw: int = 21_500


@dataclass
class FakeWorld:
    """What the driver reports; ``save`` makes running programs see it."""

    path: Path
    cards: list[FakeCard] = field(default_factory=list)
    lines: list[str] = field(default_factory=list)
    folder: Path | None = None

    def save(self) -> None:
        devices = [
            f"device {c.uuid} {c.bus} {c.total_bytes} {c.free_bytes} {c.used_bytes} "
            f"{c.utilisation_pct} {c.temperature_c} {c.power_mw} {c.name}"
            for c in self.cards
        ]
        fed = [f"folder {self.folder}"] if self.folder else []
        draft = self.path.with_suffix(".new")
        draft.write_text("\n".join([*devices, *fed, *self.lines]) + "\n", encoding="utf-8")
        draft.replace(self.path)

    def tell(self, *lines: str) -> None:
        """Replace errors, hangs and processes with these lines (see fake_nvml.c)."""
        self.lines = list(lines)
        self.save()

    def feed(self, folder: Path) -> None:
        """Let real processes hold what the files in ``folder`` say (see fake_nvml.c)."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.save()

    def calls(self) -> list[str]:
        """Names of all calls so far."""
        log = self.log_path
        return log.read_text(encoding="utf-8").split() if log.exists() else []

    @property
    def log_path(self) -> Path:
        return self.path.with_suffix(".calls")

    @property
    def environment(self) -> dict[str, str]:
        return {"FAKE_NVML_STATE": str(self.path), "FAKE_NVML_LOG": str(self.log_path)}


def seed_world(folder: Path) -> FakeWorld:
    """The seed's two cards, listed against PCI order as some boards do."""
    world = FakeWorld(
        folder / "world.txt",
        [
            FakeCard("GPU-bbbb", "NVIDIA GeForce RTX 4070 SUPER", "00000000:0A:00"),
            FakeCard("GPU-aaaa", "NVIDIA GeForce RTX 4070", "00000000:01:00"),
        ],
    )
    world.save()
    return world


def build(folder: Path) -> Path:
    """Compile the library into ``folder``; skips the test where there is no compiler."""
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None or os.name != "posix":
        pytest.skip("the fake driver needs a C compiler on a POSIX system")
    stubs = folder / "stubs.c"
    stubs.write_text(_stubs(), encoding="utf-8")
    library = folder / "libnvidia-ml.so.1"
    # No soname: the loader must not take it for the real one in other tests of this process.
    command = [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Werror", "-o", str(library)]
    subprocess.run([*command, str(_SOURCE), str(stubs)], check=True, timeout=60)
    return library


def _stubs() -> str:
    """NOT_SUPPORTED for each name that pynvml may look up and the fake does not define."""
    source = Path(pynvml.__file__).read_text(encoding="utf-8")
    names = sorted(set(re.findall(r'_nvmlGetFunctionPointer\("(nvml\w+)"\)', source)))
    head = "#define STUB(name) __attribute__((weak)) int name(void) { return 3; }\n"
    return head + "\n".join(f"STUB({name})" for name in names) + "\n"


def install(monkeypatch: pytest.MonkeyPatch, library: Path, world: FakeWorld) -> None:
    """Make the fake the driver of this process until the test ends."""
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    # A copy of its own, because the library counts how often it was initialised.
    copy = shutil.copy(library, world.path.with_suffix(".so"))
    monkeypatch.setattr(pynvml, "nvmlLib", ctypes.CDLL(str(copy)))
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})


def child_environment(library: Path, world: FakeWorld) -> dict[str, str]:
    """The environment in which a child process finds the fake as its driver."""
    return {**os.environ, **world.environment, "LD_LIBRARY_PATH": str(library.parent)}
