"""The seed's MemoryConfig: its fields, its defaults, its limits, and as a JSON file."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from danzar.config.load import load_config
from danzar.config.optimizer import MemoryConfig, MemoryOptimizationStrategy
from danzar.config.problems import InvalidConfig
from danzar.optimizer.config_file import from_json, to_json

# Word for word as the seed has them.
SEED = {
    "enabled": True,
    "strategy": MemoryOptimizationStrategy.BALANCED,
    "monitoring_interval": 5,
    "memory_threshold_warning": 0.8,
    "memory_threshold_critical": 0.9,
    "memory_threshold_oom": 0.95,
    "temperature_threshold": 80.0,
    "optimization_interval": 60,
    "cleanup_interval": 300,
    "max_batch_size": 16,
    "min_batch_size": 1,
    "memory_reserve_mb": 1024,
    "gc_threshold": 0.85,
    "fragmentation_threshold": 0.3,
}


@st.composite
def configs(draw: st.DrawFn) -> MemoryConfig:
    marks = sorted(draw(st.sets(st.floats(0.01, 1), min_size=3, max_size=3)))
    sizes = sorted((draw(st.integers(1, 64)), draw(st.integers(1, 64))))
    share, seconds = st.floats(0.01, 1), st.integers(1, 86_400)
    return MemoryConfig(
        enabled=draw(st.booleans()),
        strategy=draw(st.sampled_from(MemoryOptimizationStrategy)),
        monitoring_interval=draw(seconds),
        memory_threshold_warning=marks[0],
        memory_threshold_critical=marks[1],
        memory_threshold_oom=marks[2],
        temperature_threshold=draw(st.floats(1, 150)),
        optimization_interval=draw(seconds),
        cleanup_interval=draw(seconds),
        max_batch_size=sizes[1],
        min_batch_size=sizes[0],
        memory_reserve_mb=draw(st.integers(0, 100_000)),
        gc_threshold=draw(share),
        fragmentation_threshold=draw(share),
    )


def test_fields_and_defaults_are_the_seeds() -> None:
    assert MemoryConfig().model_dump() == SEED


def test_the_seeds_example_builds() -> None:
    config = MemoryConfig(
        strategy=MemoryOptimizationStrategy.BALANCED,
        memory_threshold_warning=0.8,
        memory_threshold_critical=0.9,
        memory_threshold_oom=0.95,
    )

    assert config == MemoryConfig()


@given(configs())
def test_what_is_exported_reads_back_as_the_same(config: MemoryConfig) -> None:
    assert from_json(to_json(config).encode(), "c.json") == config


def test_the_export_has_the_seeds_names_in_their_order() -> None:
    assert list(json.loads(to_json(MemoryConfig()))) == list(SEED)


def test_a_key_that_a_file_leaves_out_has_its_default() -> None:
    assert from_json(b'{"max_batch_size": 4}', "c.json") == MemoryConfig(max_batch_size=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"max_batch_sise": 4}', "c.json: max_batch_sise: unknown key; did you mean max_batch"),
        ('{"memory_threshold_critical": 0.7}',
         "memory_threshold_critical: is 0.7; allowed: above memory_threshold_warning (0.8)"),
        ('{"min_batch_size": 20}', "min_batch_size: is 20; allowed: at most max_batch_size (16)"),
        ('{"strategy": "bold"}', "strategy: is 'bold'; allowed: conservative or balanced or"),
        ('{"max_batch_size": 2.5}', "max_batch_size: must be a whole number, not 2.5"),
        ('{"max_batch_size": true}', "max_batch_size: must be a whole number, not true"),
        ('{"memory_threshold_oom": 1.5}', "memory_threshold_oom: is 1.5; allowed: above 0, at mo"),
        ('{"gc_threshold": NaN}', "gc_threshold"),
        ('{"cleanup_interval": 0}', "cleanup_interval: is 0; allowed: at least 1"),
        ('{"enabled": true, "enabled": false}', "has the key 'enabled' twice"),
        ("{\n  enabled: true}", "c.json:2: is no JSON"),
        ("[]", "must be an object"),
        ("[" * 100_000, "c.json"),
        ("\xff", "c.json"),
        ("{}" + " " * 300_000, "has 300002 bytes"),
    ],
)  # fmt: skip
def test_a_wrong_file_is_refused_by_name(text: str, words: str) -> None:
    with pytest.raises(InvalidConfig) as refused:
        from_json(text.encode("latin-1"), "c.json")

    assert words in str(refused.value)


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InvalidConfig) as refused:
        from_json(b'{"enabled": 1, "gc_treshold": 0.5, "max_batch_size": 0}', "c.json")

    assert len(refused.value.problems) == 3


def test_variables_override_the_section(tmp_path: Path) -> None:
    config = load_config(tmp_path, {"DANZAR_VRAM__OPTIMIZER__STRATEGY": "adaptive"})

    assert config.vram.optimizer == MemoryConfig(strategy=MemoryOptimizationStrategy.ADAPTIVE)


def test_a_seeds_key_outside_the_section_is_told_where_it_belongs(tmp_path: Path) -> None:
    (tmp_path / "vram_config.yaml").write_text("memory_threshold_oom: 0.95\n")

    with pytest.raises(InvalidConfig, match=r"did you mean optimizer\.memory_threshold_oom\?"):
        load_config(tmp_path, {})
