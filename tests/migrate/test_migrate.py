"""Other programs' settings: what becomes of each key, and what is refused."""

import json
import re
from pathlib import Path

import pytest

from danzar.commands.config import check as check_folder
from danzar.commands.migrate import convert, import_json
from danzar.config.load import FILES, load_config
from danzar.config.migrate import PROGRAMS, read_foreign
from danzar.config.migrate_rule import rule_key
from danzar.config.migrate_vramcram import VRAMCRAM
from danzar.config.problems import InvalidConfig
from danzar.config.schema import paths, schema_at
from danzar.config.yaml_lines import read_yaml
from danzar.errors import ConfigError
from danzar.units import MIB

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = Path(__file__).with_name("vramcram.yaml")
PAGE = (ROOT / "docs/migrating.md").read_text(encoding="utf-8")
STARTUP = """
vram_thresholds: {critical: 0.85, warning: 0.75, safe: 0.5}
mainpc_vram_budget_mb: 20000
pc2_vram_budget_mb: 10000
idle_timeout: 900
idle_check_interval: 60
defragmentation_threshold: 0.7
optimization_interval: 300
predictive_loading_enabled: true
lookahead_window: 300
prediction_window: 3600
"""


def read(text, name="config.yaml"):
    return read_foreign(text.encode(), Path("/there") / name, Path("/here"))


def settings_of(imported):
    return {str(s): s.value for s in imported.settings}


def leaves(data, path=()):
    match data:
        case dict():
            return {x for k, v in data.items() for x in leaves(v, (*path, k))}
        case list():
            return {x for v in data for x in leaves(v, path)}
    return {".".join(path)}


# --- the page and the tables are true ------------------------------------------------------------


def rows_of(page):
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \| (.*?) ?\|$", page, re.MULTILINE)
    return {key: (set(re.findall(r"`([^`]+)`", here)), note) for key, here, note in rows}


def test_the_page_has_every_key_of_every_program_with_its_settings_and_reasons():
    told = rows_of(PAGE)
    for program in PROGRAMS:
        for key, rule in program.rules.items():
            targets, note = told[key]
            assert targets == {t.key for t in rule.targets}, key
            assert targets or note, f"{key} has no counterpart and no reason"


def test_every_key_of_the_example_and_of_the_schema_has_a_rule():
    example = leaves(read_yaml(EXAMPLE.read_bytes()).data)
    assert example <= VRAMCRAM.rules.keys()
    for program in PROGRAMS:
        fixed = {rule_key(path) for path in paths(program.schema)}
        sections = {key.rpartition(".")[0] for key in fixed}
        assert fixed - sections - {"models.llm", "models.diffusion"} <= program.rules.keys()


def test_every_setting_that_the_page_names_exists():
    named = {t.key for p in PROGRAMS for r in p.rules.values() for t in r.targets}
    here = " ".join(re.findall(r"^\|[^|]*\|([^|]*)\|", PAGE, re.MULTILINE))
    named |= set(re.findall(r"`((?:bot|vram|models|vision)\.[\w.:]+)`", here))
    assert len(named) > 70
    for key in named:
        file, *path = key.split(".")
        assert schema_at(FILES[file][1], tuple(path)) is not None, key


# --- what becomes of the files -------------------------------------------------------------------


def test_the_example_becomes_settings_that_pass_the_check(tmp_path):
    out = tmp_path / "config"
    result = convert(EXAMPLE, out, ROOT / "config")
    assert {file.name for file in result.written} == {name for name, _ in FILES.values()}
    assert check_folder(out).problems == ()

    config = load_config(out, {})
    assert config.bot.jobs.url == "redis://localhost:6380/2"
    assert config.bot.jobs.max_waiting == 900
    assert config.bot.jobs.keep_s == 80_000
    assert (config.bot.api.enabled, config.bot.api.port) == (True, 8010)
    assert config.bot.http.port == 9091
    assert config.bot.chat.temperature == 0.6
    assert config.vram.placement.margin == 640 * MIB
    assert config.vram.devices["cuda:0"].limit == 12_288 * MIB
    assert config.vram.workers.stop_timeout_s == 20
    assert config.models.use.chat == "big-talker"
    assert config.models.use.imagine == "quick-painter"
    talker, painter = (config.models.models[x] for x in ("big-talker", "quick-painter"))
    assert (talker.backend, talker.role, talker.memory) == ("llama", "chat", 6000 * MIB)
    assert talker.settings == {"n_ctx": 4096, "n_batch": 256}
    assert talker.path == "models/big-talker-Q4_K_M.gguf"
    assert painter.path == "models/quick-painter"
    assert (painter.backend, painter.role) == ("diffusion", "imagine")
    assert painter.settings == {"width": 512, "height": 768, "steps": 4, "guidance": 1.0}


def test_what_was_there_keeps_its_comments_and_its_models(tmp_path):
    out = tmp_path / "config"
    convert(EXAMPLE, out, ROOT / "config")
    before = (ROOT / "config/bot_config.yaml").read_text(encoding="utf-8")
    after = (out / "bot_config.yaml").read_text(encoding="utf-8")
    assert re.findall(r"#.*", after) == re.findall(r"#.*", before)
    assert load_config(out, {}).models.models.keys() > {"smollm2", "yolo-nano", "big-talker"}


def test_thresholds_over_two_machines():
    imported = read(STARTUP, "startup_config.yaml")
    assert settings_of(imported) == {
        "vram.pressure.critical_pct": 85,
        "vram.pressure.warning_pct": 75,
        "vram.devices.cuda:0.limit": "20000 MiB",
        "vram.placement.keep_alive_s": 900,
        "vram.optimizer.fragmentation_threshold": 0.7,
        "vram.optimizer.optimization_interval": 300,
        "vram.prediction.enabled": True,
        "vram.prediction.lookahead_s": 300,
        "vram.prediction.window_s": 3600,
    }
    unmapped = {row.key: row.note for row in imported.rows if not row.settings}
    assert unmapped.keys() == {"vram_thresholds.safe", "pc2_vram_budget_mb", "idle_check_interval"}
    assert all(unmapped.values())


def test_the_optimizers_json_and_the_vision_file_keep_their_names():
    memory = read('{"strategy": "conservative", "max_batch_size": 8}', "config.json")
    assert settings_of(memory) == {
        "vram.optimizer.strategy": "conservative",
        "vram.optimizer.max_batch_size": 8,
    }
    text = (ROOT / "tests/config/seed_vision_config.yaml").read_text(encoding="utf-8")
    vision = settings_of(read(text, "vision_config.yaml"))
    assert vision["vision.gpu_memory.vision_memory_limit_gb"] == 2.0
    assert vision["vision.yolo.classes"] == ["health_bar", "minimap", "boss", "player", "enemy"]


def test_a_redis_on_another_machine_is_addressed_over_tls():
    text = EXAMPLE.read_text(encoding="utf-8").replace("host: localhost", "host: 192.168.1.10")
    assert settings_of(read(text))["bot.jobs.url"] == "rediss://192.168.1.10:6380/2"


def test_a_models_path_inside_the_project_is_written_from_its_folder():
    text = EXAMPLE.read_text(encoding="utf-8")
    imported = read_foreign(text.encode(), Path("/home/me/old/config.yaml"), Path("/home/me"))
    path = settings_of(imported)["models.models.big-talker.path"]
    assert path == "old/models/big-talker-Q4_K_M.gguf"


def test_no_password_is_shown_or_copied(tmp_path):
    file = tmp_path / "config.yaml"
    text = EXAMPLE.read_text(encoding="utf-8").replace("password: null", "password: hunter2")
    file.write_text(text)
    result = convert(file, tmp_path / "new" / "config", ROOT / "config")
    assert "hunter2" not in json.dumps(import_json(result))
    assert not any(b"hunter2" in written.read_bytes() for written in result.written)
    row = next(row for row in result.imported.rows if row.key == "redis.password")
    assert row.is_secret
    assert "DANZAR_BOT__JOBS__URL" in row.note


# --- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", "is no file of settings that is known", id="empty"),
        pytest.param("[1, 2]", "is no file of settings that is known", id="a list"),
        pytest.param("foo: 1", "its keys are foo", id="another program"),
        pytest.param("vramm: {}", "did you mean vram", id="a misspelt outermost key"),
        pytest.param("idle_timeout: -1", r":1: idle_timeout: is -1", id="out of range"),
        pytest.param("idle_timeout: soon", "must be a number", id="a wrong type"),
        pytest.param("idle_timeout: 1\nidle_timeout: 2", "second time", id="twice"),
        pytest.param("idle_timeout: *x", "YAML syntax|aliases", id="an alias"),
        pytest.param("idle_timeouts: 1\nidle_timeout: 1", "did you mean idle_timeout", id="typo"),
        pytest.param("redis: {}\nvram: {}\nmodels: {}", "total_mb: is missing", id="missing"),
    ],
)
def test_nonsense_is_refused(text, words):
    with pytest.raises(InvalidConfig, match=words):
        read(text)


def test_two_models_of_one_name_are_refused_with_their_line():
    text = EXAMPLE.read_text(encoding="utf-8").replace("small-talker\n", "big-talker\n", 1)
    with pytest.raises(InvalidConfig, match=r"config\.yaml:\d+: models\.llm\[1\]\.name: .*twice"):
        read(text)


def test_what_would_come_of_it_is_checked_and_the_mistake_named_by_both_keys(tmp_path):
    file = tmp_path / "startup_config.yaml"
    file.write_text("vram_thresholds: {critical: 0.5, warning: 0.75}\n")
    result = convert(file, tmp_path / "out", ROOT / "config")
    assert result.imported is None
    assert not (tmp_path / "out").exists()
    (problem,) = result.problems
    assert problem.key == "vram_thresholds.critical becomes pressure.critical_pct"
    assert problem.where == "startup_config.yaml:1"


def test_files_that_are_there_are_never_replaced(tmp_path):
    (tmp_path / "vram_config.yaml").write_text("placement: {}\n")
    with pytest.raises(ConfigError, match=r"has vram_config\.yaml already, and nothing was"):
        convert(EXAMPLE, tmp_path, ROOT / "config")
    assert [file.name for file in tmp_path.iterdir()] == ["vram_config.yaml"]
