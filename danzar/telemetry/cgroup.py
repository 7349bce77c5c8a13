"""The memory limit of the container that this process runs in, where there is one.

Inside a container ``/proc/meminfo`` tells the host's memory; the limit that kills the process is in
the control group's files (Linux only; elsewhere there are none and nothing is found).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CGROUP_FS = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")


@dataclass(frozen=True, slots=True)
class MemoryLimit:
    """One group's limit, and what its processes use that can't be reclaimed."""

    limit_bytes: int
    used_bytes: int

    @property
    def room_bytes(self) -> int:
        """What may still be allocated."""
        return max(0, self.limit_bytes - self.used_bytes)


def memory_limit(root: Path = _CGROUP_FS, own_groups: Path = _OWN_GROUPS) -> MemoryLimit | None:
    """The tightest limit on this process, or ``None`` where none is set or readable."""
    limits = [found for group in _groups(root, own_groups) if (found := _read_group(group))]
    return min(limits, key=lambda found: found.room_bytes, default=None)


def _groups(root: Path, own_groups: Path) -> Iterator[Path]:
    """This process's memory groups and their parents: each of them limits it."""
    try:
        lines = own_groups.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, found, path = rest.partition(":")
        if found and controllers in ("", "memory"):
            base = root / controllers
            group = base / path.lstrip("/")
            yield group
            yield from (p for p in group.parents if p.is_relative_to(base))


def _read_group(group: Path) -> MemoryLimit | None:
    for limit_name, used_name, cache_key in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit = _read_number(group / limit_name)
        used = _read_number(group / used_name)
        if limit is not None and used is not None:
            cached = _read_stat(group / "memory.stat", cache_key)
            return MemoryLimit(limit, max(0, used - cached))
    return None


def _read_number(path: Path) -> int | None:
    """The file's number; ``None`` for ``max`` or an absent file."""
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _read_stat(path: Path, key: str) -> int:
    """One line of ``memory.stat``; 0 where it is absent, so that nothing counts as reclaimable."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return 0
    values = dict(line.split(" ", 1) for line in lines if " " in line)
    number = values.get(key, "0")
    return int(number) if number.isdigit() else 0
