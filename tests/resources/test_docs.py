"""docs/resources.md: its commands print what stands there, and its Python says what it says."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

from danzar.cli import app
from danzar.resources.ladder import LORA_LOSS
from danzar.resources.machine import DescribedMachine, described_card
from danzar.resources.manager import Parts, ResourceManager
from danzar.units import GIB, MIB
from tests.resources.rig import PROFILES

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/resources.md").read_text(encoding="utf-8")
BLOCK = re.compile(r"```console\n\$ ([^\n]*)\n(.*?)```", re.DOTALL)
PYTHON = re.compile(r"```python\n(>>> .*?)```", re.DOTALL)
# Those of a described card: the others show a machine that was there when the page was written.
COMMANDS = [(c, text) for c, text in BLOCK.findall(PAGE) if "--card" in c]
CARD = described_card("NVIDIA GeForce RTX 4090", 24 * GIB, 256 * MIB)
RESOURCES = ResourceManager(Parts(DescribedMachine(CARD, 64 * GIB), ROOT, PROFILES))


def run_command(command: str) -> str:
    """What the command prints, without spaces at the ends of lines."""
    name, *arguments = shlex.split(command)
    assert name == "danzar"
    result = CliRunner().invoke(app, arguments, env={"COLUMNS": "110"})
    printed = result.stdout
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        printed += f"danzar: {result.exception}\n"
    return "\n".join(line.rstrip() for line in printed.rstrip().splitlines())


@pytest.mark.parametrize(("command", "text"), COMMANDS, ids=[c for c, _ in COMMANDS])
def test_a_command_of_the_page_prints_what_stands_there(command, text):
    assert run_command(command) == text.rstrip()


def test_the_python_of_the_page_says_what_it_says():
    runner = doctest.DocTestRunner(verbose=False)
    examples = [
        e for block in PYTHON.findall(PAGE) for e in doctest.DocTestParser().get_examples(block)
    ]
    page = doctest.DocTest(examples, {"resources": RESOURCES}, "resources.md", None, 0, PAGE)
    told: list[str] = []
    runner.run(page, out=told.append)
    assert len(examples) > 5
    assert not told, "".join(told)


def test_every_command_of_the_group_is_shown():
    for name in ("estimate", "check", "optimize", "status", "cleanup", "profiles"):
        assert f"danzar resources {name}" in PAGE


@pytest.mark.parametrize("name", [*PROFILES.models, *PROFILES.sources])
def test_every_model_and_source_is_on_the_page(name):
    assert f"`{name}`" in PAGE


def test_the_ladder_of_the_page_is_that_of_the_program():
    assert f"| `lora` | {LORA_LOSS} |" in PAGE
