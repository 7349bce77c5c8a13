"""The lines of the two-machine page can be typed: each command and option is there."""

import re
import shlex
from pathlib import Path

import click
import pytest
import typer
import yaml

from danzar.cli import app
from danzar.config.load import load_config

DOCS = Path(__file__).resolve().parents[2] / "docs"
TEXT = (DOCS / "two-machines.md").read_text(encoding="utf-8")
LINES = sorted(
    set(re.findall(r"^danzar .*$", TEXT, re.MULTILINE))
    | {line for line in re.findall(r"`(danzar [a-z]+ [^`]*)`", TEXT) if "..." not in line}
)


@pytest.mark.parametrize("line", LINES)
def test_a_line_can_be_typed(line):
    command = typer.main.get_command(app)
    context = click.Context(command)
    words = shlex.split(line)[1:]
    while hasattr(command, "commands") and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
        context = click.Context(command, parent=context)
    options = [word for word in words if word.startswith("--")]
    known = {name for parameter in command.params for name in parameter.opts}
    assert set(options) <= known
    if not words:
        return
    command.make_context("danzar", words, parent=context.parent)


def test_there_are_lines_to_type():
    assert len(LINES) >= 10


def test_the_settings_of_the_page_are_settings(tmp_path):
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    known = load_config(None).bot.model_dump()
    for section, keys in yaml.safe_load(block).items():
        assert set(keys) <= set(known[section])
