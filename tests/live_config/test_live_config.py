"""Settings change while Danzar runs: as a whole, or not at all."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from danzar.config.changes import can_change_live
from danzar.config.draft import CannotSet
from danzar.config.keys import UnknownKey, known_settings
from danzar.config.load import load_config
from danzar.config.problems import InvalidConfig
from danzar.config.settings import Config
from danzar.core.book import Limit, Reservation
from danzar.errors import ConfigError
from danzar.live.live_config import LiveConfig, NeedsRestart, Step
from danzar.units import GIB, MIB
from tests.live_config.world import MODELS, VRAM, World, make_world

WHO = "operator (7)"


async def test_a_change_is_in_its_file_and_in_force(world: World) -> None:
    applied = await world.live.set("placement.margin", "1 GiB", who=WHO)

    assert [str(change) for change in applied.changes] == ["placement.margin: 256.0 MiB -> 1.0 GiB"]
    assert world.manager.scheduler.ledger.book.margins.cuda_bytes == GIB
    assert world.gpu_mm.rules.vision.margin_bytes == GIB
    text = (world.folder / "vram_config.yaml").read_text()
    assert text == VRAM.replace("margin: 256 MiB", "margin: 1 GiB")


async def test_each_change_leaves_an_audit_line(world: World) -> None:
    await world.live.set("placement.policy", "lru", who=WHO)

    assert world.audit == [(WHO, "config.set", "placement.policy: 'cost' -> 'lru'")]


async def test_a_new_device_is_told_by_what_was_set(world: World) -> None:
    applied = await world.live.set("devices.cuda:1.reserve", "2 GiB", who=WHO)

    assert str(applied) == "devices.cuda:1.reserve: 0 B -> 2.0 GiB"


async def test_a_new_model_needs_a_restart(world: World) -> None:
    file = world.folder / "models.yaml"
    file.write_text(MODELS + "  other: {backend: llama, role: chat}\n")

    with pytest.raises(NeedsRestart, match=r"models\.other\.backend"):
        await world.live.reload(who="SIGHUP")


async def test_a_preview_tells_the_change_and_touches_nothing(world: World) -> None:
    files, rules = world.files(), world.rules()

    preview = await world.live.preview("placement.margin", "1 GiB")

    assert str(preview) == "placement.margin: 256.0 MiB -> 1.0 GiB"
    assert world.files() == files
    assert world.rules() == rules


async def test_a_change_outlives_a_restart(world: World) -> None:
    await world.live.set("models.big-2.5.priority", "5", who=WHO)

    assert load_config(world.folder, {}) == world.live.config
    assert world.live.config.models.models["big-2.5"].priority == 5


@pytest.mark.parametrize(
    ("key", "value", "seen", "expected"),
    [
        ("placement.policy", "priority", lambda w: w.manager.scheduler.state.rules.plan.policy,
         "priority"),
        ("placement.max_queue", "3",
         lambda w: w.manager.scheduler.instances["small"].queue.limit, 3),
        ("queue.bounds_s.chat", "20",
         lambda w: w.manager.scheduler.instances["small"].queue.rules.bounds_s["chat"], 20),
        ("queue.max_per_person", "3",
         lambda w: w.manager.scheduler.state.rules.queue.max_per_person, 3),
        ("pressure.growth", "1 GiB",
         lambda w: w.manager.scheduler.state.rules.yields.growth_bytes, GIB),
        ("devices.cuda:1.limit", "5 GiB",
         lambda w: w.manager.scheduler.ledger.book.limits, (Limit("GPU-11", 5 * GIB),)),
        ("gpu_memory.vision_memory_limit_gb", "3",
         lambda w: dict(w.manager.scheduler.ledger.book.budgets_bytes), {"vision": 3 * GIB}),
        ("gpu_memory.memory_check_interval", "5", lambda w: w.monitor.interval_s, 5),
        ("gpu_memory.enable_memory_monitoring", "false", lambda w: w.monitor.is_enabled, False),
        ("monitor.oom_pct", "99", lambda w: w.gpu_mm.rules.pressure.oom_pct, 99),
        ("models.small.pinned", "true",
         lambda w: w.manager.scheduler.instances["small"].facts.pinned, True),
        ("models.small.protected", "false",
         lambda w: w.manager.scheduler.instances["small"].facts.protected, False),
        ("models.big-2.5.fallback", "null",
         lambda w: w.manager.scheduler.instances["big-2.5"].facts.fallback, None),
    ],
)  # fmt: skip
async def test_every_part_follows(
    world: World, key: str, value: str, seen: Callable[[World], object], expected: object
) -> None:
    assert seen(world) != expected

    await world.live.set(key, value, who=WHO)

    assert seen(world) == expected


@pytest.mark.parametrize(
    ("key", "value", "error", "words"),
    [
        ("placement.margn", "1 GiB", UnknownKey, "did you mean placement.margin?"),
        ("placement", "1", UnknownKey, "is a section"),
        ("placement.margin", "12 GB", InvalidConfig,
         "config/vram_config.yaml:5: placement.margin: '12 GB' is no size; write it as 8 GiB"),
        ("placement.margin", "[1", CannotSet, "is no value"),
        ("pressure.critical_pct", "70", InvalidConfig, "allowed: above warning_pct"),
        ("devices.gpu1.limit", "1 GiB", InvalidConfig, "is no device"),
        ("models.small.fallback", "big-2.5", InvalidConfig, "goes round in a circle"),
        ("telemetry.mode", "none", NeedsRestart,
         r"restart to apply: telemetry.mode \(vram_config.yaml\)"),
        ("models.small.settings.n_ctx", "512", NeedsRestart, "restart to apply"),
        ("placement.preload", "false", NeedsRestart, "restart to apply"),
        ("use.chat", "big-2.5", NeedsRestart, "restart to apply"),
    ],
)  # fmt: skip
async def test_what_is_refused_changes_nothing(
    world: World, key: str, value: str, error: type[ConfigError], words: str
) -> None:
    files, rules = world.files(), world.rules()

    with pytest.raises(error, match=words):
        await world.live.set(key, value, who=WHO)

    assert world.files() == files
    assert world.rules() == rules
    assert world.audit == []


async def test_a_setting_that_a_variable_overrides_can_not_be_set(folder: Path) -> None:
    world = make_world(folder, {"DANZAR_VRAM__PLACEMENT__MARGIN": "2 GiB"})

    with pytest.raises(CannotSet, match="DANZAR_VRAM__PLACEMENT__MARGIN"):
        await world.live.set("placement.margin", "1 GiB", who=WHO)

    assert world.manager.scheduler.ledger.book.margins.cuda_bytes == 2 * GIB


async def test_setting_what_is_so_already_changes_nothing(world: World) -> None:
    files = world.files()

    applied = await world.live.set("placement.margin", "256 MiB", who=WHO)

    assert applied.changes == ()
    assert world.files() == files
    assert world.audit == []


async def test_the_file_is_made_where_it_is_missing(world: World) -> None:
    await world.live.set("gpu_memory.vision_device", "cuda:0", who=WHO)

    text = (world.folder / "vision_config.yaml").read_text()
    assert text == "gpu_memory:\n  vision_device: cuda:0\n"
    assert world.manager.scheduler.instances["med"].facts.preferred == ("cuda:0",)


async def test_what_people_reserved_and_pinned_stays(world: World) -> None:
    own = Reservation("GPU-11", "games", 2 * GIB)
    await world.reservations.add(own, WHO)
    world.manager.pin("small", True)

    await world.live.set("devices.cuda:0.reserve", "6 GiB", who=WHO)
    await world.live.set("models.small.priority", "3", who=WHO)

    kept = world.manager.scheduler.ledger.book.reservations
    assert own in kept
    assert Reservation("GPU-00", "games", 6 * GIB) in kept
    assert len(kept) == 3
    assert world.manager.scheduler.instances["small"].facts.pinned
    assert world.manager.scheduler.instances["small"].facts.priority == 3


class TestReload:
    async def test_the_files_are_applied_as_a_whole(self, world: World) -> None:
        file = world.folder / "vram_config.yaml"
        file.write_text(VRAM.replace("900", "60").replace("256 MiB", "512 MiB"))

        applied = await world.live.reload(who="SIGHUP")

        assert len(applied.changes) == 2
        assert world.manager.scheduler.state.rules.keep_alive_s == 60
        assert world.manager.scheduler.ledger.book.margins.cuda_bytes == 512 * MIB
        assert {line[0] for line in world.audit} == {"SIGHUP"}

    @pytest.mark.parametrize(
        ("old", "new", "words"),
        [
            ("keep_alive_s: 900", "keep_alive_s: -1", "allowed: above 0"),
            ("mode: simulated", "mode: none", "restart to apply: telemetry.mode"),
        ],
    )
    async def test_one_that_can_not_be_applied_stops_them_all(
        self, world: World, old: str, new: str, words: str
    ) -> None:
        file = world.folder / "vram_config.yaml"
        file.write_text(VRAM.replace("256 MiB", "512 MiB").replace(old, new))
        rules = world.rules()

        with pytest.raises(ConfigError, match=words):
            await world.live.reload(who="SIGHUP")

        assert world.rules() == rules

    async def test_a_setting_does_not_carry_others_along(self, world: World) -> None:
        """What the owner wrote for the next start waits for it."""
        file = world.folder / "vram_config.yaml"
        file.write_text(VRAM.replace("mode: simulated", "mode: none"))

        await world.live.set("placement.margin", "1 GiB", who=WHO)

        assert world.live.config.vram.telemetry.mode == "simulated"
        assert "mode: none" in file.read_text()
        assert "margin: 1 GiB" in file.read_text()


class TestTrouble:
    async def test_without_a_folder_nothing_can_be_set(self, world: World) -> None:
        config = world.live.config.model_copy(update={"folder": None})

        async def audit(*_: str) -> None: ...

        live = LiveConfig(config, (), audit=audit, environ={})

        with pytest.raises(ConfigError, match="no folder of settings"):
            await live.set("placement.margin", "1 GiB", who=WHO)

    async def test_a_part_that_fails_has_everything_taken_back(self, world: World) -> None:
        def broken(_old: object, _new: object) -> Step:
            async def step() -> None:
                if world.live.config.vram.placement.margin == 256 * MIB:
                    raise RuntimeError("a bug")

            return step

        world.live._followers = (*world.live._followers, broken)
        files, rules = world.files(), world.rules()

        with pytest.raises(RuntimeError):
            await world.live.set("placement.margin", "1 GiB", who=WHO)

        assert world.files() == files
        assert world.rules() == rules

    async def test_a_file_that_can_not_be_written_changes_nothing(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        rules = world.rules()
        monkeypatch.setattr("os.fsync", full)

        with pytest.raises(ConfigError, match="No space left on device; nothing was changed"):
            await world.live.set("placement.margin", "1 GiB", who=WHO)

        assert world.rules() == rules
        assert [file.name for file in world.folder.iterdir() if file.name[0] == "."] == []

    async def test_many_at_once_are_made_one_after_the_other(self, world: World) -> None:
        await asyncio.gather(
            *(world.live.set("placement.max_queue", str(n), who=WHO) for n in range(1, 9)),
            *(world.live.set("pressure.calm_s", str(n), who=WHO) for n in range(1, 9)),
        )

        assert load_config(world.folder, {}) == world.live.config
        assert world.live.config.vram.placement.max_queue == 8


KEYS = [
    *map(str, known_settings(Config(root=Path()))),
    "devices.cuda:1.limit",
    "devices.GPU-9.reserve",
    "models.big-2.5.fallback",
    "models.small.priority",
    "models.small.pinned",
]
# Most of them wrong for most keys, so that there is much to refuse.
TEXTS = st.sampled_from(
    ["1", "0", "-1", "0.5", "50", "99", "1 GiB", "12 GB", "true", "null", "lru", "cuda:0", "[1"]
) | st.text(alphabet="ab:#{}[]'\"\n 019.-", max_size=8)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wishes=st.lists(st.tuples(st.sampled_from(KEYS), TEXTS), min_size=1, max_size=4))
def test_any_change_is_whole_or_not_at_all(folder: Path, wishes: list[tuple[str, str]]) -> None:
    for file in folder.iterdir():
        file.unlink()
    (folder / "vram_config.yaml").write_text(VRAM)
    (folder / "models.yaml").write_text(MODELS)
    world = make_world(folder)
    for key, value in wishes:
        files, rules = world.files(), world.rules()
        try:
            applied = asyncio.run(world.live.set(key, value, who=WHO))
        except ConfigError:
            assert world.files() == files
            assert world.rules() == rules
            continue

        assert all(can_change_live(change.key) for change in applied.changes)
        assert load_config(folder, {}) == world.live.config
        assert world.rules() == make_world(folder).rules()
