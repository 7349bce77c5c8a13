"""What the owner wrote under ``warm``, in the words of the core."""

from pathlib import Path

import pytest

from danzar.broker.catalog import model_facts
from danzar.broker.warm_rules import mapped_files, warm_rules
from danzar.config.changes import can_change_live
from danzar.config.keys import Key
from danzar.config.load import load_config
from danzar.core.warm_items import WarmRules
from danzar.errors import ConfigError
from danzar.units import GIB, MIB
from danzar.workers.segment import SUPPORTED

FOLDER = Path(__file__).parents[2] / "config"


def config(**settings):
    return load_config(FOLDER, {f"DANZAR_VRAM__WARM__{k}": v for k, v in settings.items()})


def test_by_default_two_gib_are_kept_with_a_standby():
    assert warm_rules(config()) == WarmRules(2 * GIB, standby=True, page_cache_bytes=8 * GIB)


def test_a_budget_of_zero_switches_the_standby_off_too():
    assert warm_rules(config(BUDGET="0")) == WarmRules(0, standby=False, page_cache_bytes=8 * GIB)


@pytest.mark.parametrize("value", ["-1", "much", "true"])
def test_a_budget_that_is_no_size_is_an_error(value):
    with pytest.raises(ConfigError, match="warm"):
        config(BUDGET=value)


@pytest.mark.parametrize("key", ["budget", "standby", "page_cache"])
def test_everything_may_change_while_danzar_runs(key):
    assert can_change_live(Key("vram", ("warm", key)))


@pytest.mark.skipif(not SUPPORTED, reason="this system has no segments")
async def test_the_models_that_torch_loads_can_be_kept_and_no_others():
    kept = {facts.name: facts.warm_bytes for facts in await model_facts(config())}

    assert kept["clip-doom"] > 38 * MIB
    assert 11 * MIB < kept["yolo-nano"] < 32 * MIB
    assert kept["smollm2"] == kept["ocr"] == kept["media"] == 0


def test_the_page_cache_is_followed_for_gguf_files_that_are_there():
    files = mapped_files(config())

    assert set(files) == {"smollm2"}
    assert files["smollm2"].is_file()
