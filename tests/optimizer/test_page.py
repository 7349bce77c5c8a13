"""docs/optimizer.md has every command and option, and shows none that is not there."""

import re
import shlex
from pathlib import Path

import pytest
import typer

from danzar.cli import app
from danzar.config.optimizer import MemoryConfig
from danzar.optimizer.optimizer import MemoryOptimizer

PAGE = (Path(__file__).parents[2] / "docs" / "optimizer.md").read_text()
ROOT = typer.main.get_command(app)
OPTIMIZER = ROOT.commands["optimizer"]
SHOWN = re.findall(r"^\$ danzar (.+)$", PAGE, re.MULTILINE)
# The seed's own list.
SEED = (
    "status", "monitor", "optimize", "set-batch-size", "enable", "disable", "start-monitoring",
    "stop-monitoring", "configure", "export-config", "import-config", "benchmark",
)  # fmt: skip


@pytest.mark.parametrize("name", SEED)
def test_the_seeds_command_is_there(name: str) -> None:
    assert name in OPTIMIZER.commands


@pytest.mark.parametrize("name", sorted(OPTIMIZER.commands))
def test_every_command_is_shown_with_its_output(name: str) -> None:
    assert re.search(rf"^\$ danzar optimizer {name}\b.*\n(?!\$|```)\S", PAGE, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(OPTIMIZER.commands))
def test_every_option_is_on_the_page(name: str) -> None:
    for parameter in OPTIMIZER.commands[name].params:
        for option in parameter.opts:
            if option.startswith("--") and option not in ("--config", "--help"):
                assert option in PAGE


@pytest.mark.parametrize("line", SHOWN)
def test_what_the_page_types_is_understood(line: str) -> None:
    """Parsed only: nothing runs."""
    command, arguments = ROOT, shlex.split(line)
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    command.make_context(line, arguments)


def test_every_setting_and_the_seeds_names_are_on_the_page() -> None:
    names = [*MemoryConfig.model_fields, "start_monitoring", "stop_monitoring", "optimize_memory",
             "get_current_batch_size", "get_memory_status", "get_optimization_history"]  # fmt: skip
    for name in names:
        assert name in PAGE
    for name in names[len(MemoryConfig.model_fields) :]:
        assert callable(getattr(MemoryOptimizer, name))
