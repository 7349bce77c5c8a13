"""Every page: its links lead somewhere, and what it tells one to type is understood."""

import ast
import json
import re
from pathlib import Path

import pytest
import yaml

from danzar.config.base import Settings
from danzar.config.load import FILES
from danzar.config.schema import schema_at
from tests.docs.pages import (
    DOCS,
    PAGES,
    Block,
    anchors,
    blocks,
    broken_links,
    command_lines,
    inline,
    misunderstood,
    name_of,
    text_of,
)
from tools.site.diagrams import diagrams
from tools.site.hooks import drawing_of, without_repository_links

# It tells what was so.
HISTORY = ("CHANGELOG.md",)
# Modules, and other programs' keys.
NOT_SETTINGS = ("CHANGELOG.md", "docs/architecture.md", "docs/migrating.md")
# What ends names of files, and a node's own `queue.url`.
NO_KEYS = ("yaml", "db", "json", "jsonl", "md", "py", "url", "lock", "lock-journal", "log", "zip")
SHELL = ("sh", "bash")
EACH = pytest.mark.parametrize("page", PAGES, ids=name_of)


@EACH
def test_every_link_and_anchor_leads_somewhere(page: Path) -> None:
    assert broken_links(page, text_of(page)) == []


@EACH
def test_every_danzar_command_on_a_page_is_one(page: Path) -> None:
    if name_of(page) in HISTORY:
        pytest.skip("tells what was so")
    assert [told for told in map(_wrong, blocks(page)) if told] == []
    said = [text.split()[1:] for text in inline(page) if text.startswith("danzar ")]
    assert [told for words in said if (told := misunderstood(words, whole=False))] == []


def _wrong(block: Block) -> list[str]:
    whole = block.language in SHELL
    return [
        told
        for words in command_lines(block.text)
        if (told := misunderstood(words, whole=whole)) is not None
    ]


@EACH
def test_every_setting_that_a_page_names_is_one(page: Path) -> None:
    if name_of(page) in NOT_SETTINGS:
        pytest.skip("names other things, too")
    assert [text for text in inline(page) if _looks_like_a_setting(text) and not _knows(text)] == []


def _looks_like_a_setting(text: str) -> bool:
    """``placement.margin``, but no file such as ``jobs.db`` and nothing else with dots."""
    first, _, last = text.rpartition(".")
    return (
        re.fullmatch(r"[a-z_]+(\.[\w:-]+)+", text) is not None
        and last not in NO_KEYS
        and any(first.split(".")[0] in model.model_fields for _, model in FILES.values())
    )


def _knows(text: str) -> bool:
    # A model's name may have dots: only what stands before it and after it is looked up.
    named = re.fullmatch(r"(models|profiles)\.(.+)\.([a-z_]+)", text)
    path = (named[1], named[2], named[3]) if named else tuple(text.split("."))
    return any(schema_at(model, path, {}) is not None for _, model in FILES.values())


def _settings_blocks() -> list[Block]:
    return [
        block
        for page in PAGES
        for block in blocks(page)
        if block.language in ("yaml", "yml") and _file_of(block.text) is not None
    ]


def _file_of(text: str) -> str | None:
    """The file of settings that a block is from; ``None`` where it is from none."""
    data = yaml.safe_load(text)
    if not isinstance(data, dict) or not data:
        return None
    return next(
        (n for n, (_, model) in FILES.items() if data.keys() <= set(model.model_fields)), None
    )


@pytest.mark.parametrize("block", _settings_blocks(), ids=lambda block: block.page)
def test_settings_on_a_page_are_valid(block: Block) -> None:
    _validated(block.text)


def _validated(text: str) -> Settings:
    data, name = yaml.safe_load(text), _file_of(text)
    assert name is not None
    return FILES[name][1].model_validate_json(json.dumps(data), strict=True)


@EACH
def test_blocks_of_yaml_json_and_python_can_be_read(page: Path) -> None:
    for block in blocks(page):
        if block.language == "python" and ">>>" not in block.text:
            compile(block.text, block.page, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        if block.language in ("yaml", "yml"):
            list(yaml.safe_load_all(block.text))
        if block.language == "json" and "..." not in block.text:
            json.loads(block.text)


def test_every_page_has_one_title() -> None:
    for page in DOCS.rglob("*.md"):
        first = re.sub(r"<!--.*?-->\s*", "", text_of(page), count=1).splitlines()[0]
        assert re.match(r"# \S", first), name_of(page)


def test_every_picture_is_shown_on_some_page() -> None:
    shown = "\n".join(map(text_of, PAGES))
    assert [p.name for p in (DOCS / "images").glob("*.*") if p.name not in shown] == []


def test_every_diagram_is_drawn_as_it_is_written_now() -> None:
    """Else: `uv run python -m tools.site.diagrams`, whose first lines say where mermaid is from."""
    assert [source for source in diagrams() if not drawing_of(source).is_file()] == []


# --- these tests can fail -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "broken"),
    [
        ("[a](vram.md)", []),
        ("[a](vram.md#the-ladder)", []),
        ("[a](#here)\n\n## Here\n", []),
        ("[a](https://example.org/x)", []),
        ("`[a](nowhere.md)`", []),
        ("[a](nowhere.md)", ["nowhere.md"]),
        ("![a](images/nothing.png)", ["images/nothing.png"]),
        ("[a](vram.md#the-lader)", ["vram.md#the-lader"]),
        ("[a](#there)\n\n## Here\n", ["#there"]),
    ],
)
def test_a_broken_link_is_found(text: str, broken: list[str]) -> None:
    assert broken_links(DOCS / "index.md", text) == broken


@pytest.mark.parametrize(
    ("words", "whole", "wrong"),
    [
        ("gpu status --json", True, None),
        ("config set|reload", False, None),
        ("models pull", False, None),
        ("optimizer", False, None),
        ("nodes", True, None),
        ("plan chat --devices nowhere.yaml", True, None),
        ("gpu stats", False, "there is no command stats"),
        ("config set|relod", False, "there is no command relod"),
        ("gpu status --jsn", False, "there is no option --jsn"),
        ("models pull", True, "Missing"),
        ("doctor now", True, "unexpected"),
    ],
)
def test_a_wrong_command_line_is_found(words: str, whole: bool, wrong: str | None) -> None:
    told = misunderstood(words.split(), whole=whole)
    assert told is None if wrong is None else wrong in (told or "")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("$ danzar gpu status  # the cards", ["gpu", "status"]),
        ("DISCORD_TOKEN=... uv run danzar run", ["run"]),
        ("sudo -u danzar /opt/danzar/bin/danzar doctor && echo ok", ["doctor"]),
        ("uv run danzar jobs list --json | jq .", ["jobs", "list", "--json"]),
        ("danzar: the error it prints", None),
        ("see danzar gpu", None),
    ],
)
def test_command_lines_are_found_in_blocks(line: str, words: list[str] | None) -> None:
    assert list(command_lines(line)) == ([] if words is None else [words])


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("placement.margin", True),
        ("devices.cuda:0.limit", True),
        ("models.qwen2.5-7b-instruct.priority", True),
        ("placement.marign", False),
        ("models.smollm2.prio", False),
    ],
)
def test_a_setting_that_is_none_is_found(name: str, known: bool) -> None:
    assert _looks_like_a_setting(name)
    assert _knows(name) is known


def test_settings_that_are_wrong_are_found() -> None:
    _validated("placement: {margin: 1 GiB}")
    with pytest.raises(ValueError, match="margin"):
        _validated("placement: {margin: much}")


def test_anchors_are_those_of_github() -> None:
    text = "# A `b`: c, d\n\n## A `b`: c, d\n\n```\n# no heading\n```\n"
    assert anchors(text) == {"a-b-c-d", "a-b-c-d_1"}


def test_a_link_to_a_file_of_the_repository_becomes_its_name_on_the_site() -> None:
    text = "[`acl.py`](../danzar/keys/acl.py), [the list](../danzar/keys/acl.py), [x](vram.md)"
    named = "`danzar/keys/acl.py`, the list (`danzar/keys/acl.py`), [x](vram.md)"
    assert without_repository_links(text, "security.md") == named
    assert without_repository_links("[x](../vram.md)", "reference/a.md") == "[x](../vram.md)"
