import psutil
import pytest

from danzar.telemetry.cgroup import memory_limit
from danzar.telemetry.host import HostReader

GIB = 1024**3


def test_host_ram_is_the_machines():
    snapshot = HostReader().read()
    assert 0 < snapshot.free_bytes < snapshot.total_bytes <= psutil.virtual_memory().total
    assert snapshot.utilisation_pct is None
    assert snapshot.temperature_c is None


def test_the_second_reading_knows_the_utilisation():
    host = HostReader()
    host.read()
    total = psutil.cpu_times()
    while sum(psutil.cpu_times()) <= sum(total):  # the clock of the kernel ticks each 10 ms
        pass
    utilisation_pct = host.read().utilisation_pct
    assert utilisation_pct is not None
    assert 0 <= utilisation_pct <= 100


@pytest.fixture
def groups(tmp_path):
    """Writes control group files and returns what ``memory_limit`` makes of them."""

    def limit_of(own, files):
        (tmp_path / "own").write_text(own)
        for name, text in files.items():
            path = tmp_path / "fs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return memory_limit(tmp_path / "fs", tmp_path / "own")

    return limit_of


def test_the_limit_of_a_container_counts_without_its_reclaimable_cache(groups):
    found = groups(
        "0::/\n",
        {
            "memory.max": f"{8 * GIB}\n",
            "memory.current": f"{5 * GIB}\n",
            "memory.stat": f"anon 1\ninactive_file {2 * GIB}\n",
        },
    )
    assert (found.limit_bytes, found.used_bytes, found.room_bytes) == (8 * GIB, 3 * GIB, 5 * GIB)


def test_the_tightest_of_nested_limits_holds(groups):
    found = groups(
        "0::/a/b\n",
        {
            "a/b/memory.max": "max\n",
            "a/b/memory.current": "5\n",
            "a/memory.max": "100\n",
            "a/memory.current": "40\n",
            "memory.max": "1000\n",
            "memory.current": "40\n",
        },
    )
    assert found.room_bytes == 60


def test_the_older_kind_of_groups_is_read(groups):
    found = groups(
        "9:name=systemd:/\n4:memory:/box\n0::/\n",
        {
            "memory/box/memory.limit_in_bytes": "100\n",
            "memory/box/memory.usage_in_bytes": "70\n",
            "memory/box/memory.stat": "total_inactive_file 10\n",
        },
    )
    assert (found.limit_bytes, found.used_bytes) == (100, 60)


@pytest.mark.parametrize("own", ["", "0::/\n", "garbage\n", "0::/gone\n"])
def test_no_limit_is_none(groups, own):
    assert groups(own, {"memory.max": "max\n", "memory.current": "5\n"}) is None


def test_unreadable_figures_are_no_limit(groups):
    assert groups("0::/\n", {"memory.max": "many\n", "memory.current": "5\n"}) is None


def test_a_system_without_groups_has_no_limit(tmp_path):
    assert memory_limit(tmp_path / "fs", tmp_path / "none") is None
