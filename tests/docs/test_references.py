"""The pages of docs/reference are what the code says now, and the code says all of it."""

import asyncio
import re

import pytest
from pydantic import Field

from danzar.config.base import Settings
from danzar.config.load import FILES
from danzar.config.schema import paths
from danzar.config.secret_files import SECRETS, SUFFIX
from danzar.metrics.names import METRICS
from tests.docs.pages import DOCS, PAGES, ROOT, blocks, inline, name_of
from tools.reference import backend_settings, command_line, discord_commands, endpoints, settings
from tools.reference.discord_examples import EXAMPLES
from tools.reference.pages import PAGES as REFERENCES

REFERENCE = DOCS / "reference"
# Keys of bodies.
NO_METRICS = {"danzar_conversation"}
AGAIN = "type: uv run python -m tools.reference"
# A command on a page: `!gpu status`, /gpu plan, with or without what follows.
_COMMAND = re.compile(r"^[!/]([a-z]+(?: [a-z]+)*)")


@pytest.mark.parametrize("name", sorted(REFERENCES))
def test_the_page_is_current(name: str) -> None:
    assert (REFERENCE / name).read_text(encoding="utf-8") == REFERENCES[name](), AGAIN


def test_no_page_is_left_over() -> None:
    assert {page.name for page in REFERENCE.glob("*.md")} == set(REFERENCES)


# --- settings -----------------------------------------------------------------------------------


def undescribed(model: type[Settings]) -> list[str]:
    return [".".join(k.path) for _, keys in settings.sections(model) for k in keys if not k.text]


@pytest.mark.parametrize("name", list(FILES))
def test_every_key_says_what_it_means(name: str) -> None:
    assert undescribed(FILES[name][1]) == [], "give it Field(description=...)"


@pytest.mark.parametrize("name", list(FILES))
def test_every_key_is_on_the_page(name: str) -> None:
    """By another way than the page is made: the schema's own list."""
    page = (REFERENCE / "settings.md").read_text(encoding="utf-8")
    part = page.split(f"## `{FILES[name][0]}`")[1].split("\n## ")[0]
    for path in paths(FILES[name][1]):
        place = ".".join(map(str, path[:-1]))
        assert f"| `{path[-1]}` |" in part or f"### `{'.'.join(map(str, path))}`" in part, path
        assert not place or f"`{place}" in part, path


def test_a_key_without_a_meaning_is_found() -> None:
    class Inner(Settings):
        silent: int = 1
        told: int = Field(2, description="Said.")

    class Whole(Settings):
        inner: Inner = Inner()
        many: dict[str, Inner] = Field(default_factory=dict, description="Said.")

    assert undescribed(Whole) == ["inner.silent", "many.NAME.silent"]


def test_every_setting_of_a_backend_says_what_it_means() -> None:
    backends = backend_settings.backends()
    assert {"llama", "yolo", "clip", "ocr", "media", "diffusion"} <= backends.keys()
    assert [f"{b}.{f.name}" for b, fields in backends.items() for f in fields if not f.text] == []


# Set by Danzar for processes of its own.
INTERNAL = {
    "DANZAR_CONTROL_NOTE", "DANZAR_END_WITH_PARENT", "DANZAR_LOCAL_TOKEN", "DANZAR_LOG_FOLDER",
}  # fmt: skip
_VARIABLE = re.compile(r'"((?:DANZAR|DISCORD)_[A-Z]+(?:_[A-Z]+)*)"')


def test_every_variable_that_is_read_is_on_the_page() -> None:
    sources = [file for folder in ("danzar", "cogs") for file in (ROOT / folder).rglob("*.py")]
    read = {name for file in sources for name in _VARIABLE.findall(file.read_text("utf-8"))}
    read |= {f"{name}{SUFFIX}" for name in SECRETS}
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert {"DANZAR_CONFIG", "DISCORD_TOKEN_FILE"} <= read
    assert {name for name in read - INTERNAL if not re.search(rf"`{name}[`=]", page)} == set()


# --- the command line ---------------------------------------------------------------------------


def test_every_command_and_option_says_what_it_does() -> None:
    silent = []
    for names, command in command_line.commands():
        if not (command.help or "").strip():
            silent.append(" ".join(names))
        silent += [
            f"{' '.join(names)} {parameter.name}"
            for parameter in command.params
            if parameter.param_type_name == "option" and not parameter.help
        ]
    assert silent == []


def test_every_command_with_json_is_in_the_contract() -> None:
    page = (DOCS / "json.md").read_text(encoding="utf-8")
    named = {tuple(text.split()[1:]) for text in re.findall(r"`(danzar [^`]+)`", page)}

    def told(names: tuple[str, ...]) -> bool:
        group, last = names[0], names[-1]
        return any(
            words[: len(names)] == names
            or words[:2] == (group, "...")
            or (words[0] == group and len(words) > 1 and last in words[1].split("|"))
            for words in named
        )

    with_json = [
        names
        for names, command in command_line.commands()
        if any(parameter.name == "as_json" for parameter in command.params)
    ]
    assert ("gpu", "status") in with_json
    assert [" ".join(names) for names in with_json if not told(names)] == []


# --- Discord ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def in_discord() -> dict[str, discord_commands.Described]:
    bot = asyncio.run(discord_commands.bot_with_cogs())
    return {command.name: command for command in discord_commands.described(bot)}


def test_every_command_in_discord_says_what_it_does(in_discord) -> None:
    silent = [name for name, command in in_discord.items() if not command.text]
    silent += [f"{c.name} {o.name}" for c in in_discord.values() for o in c.options if not o.text]
    assert silent == [], "give it a description, and its options app_commands.describe"


def test_every_command_that_may_be_told_something_has_an_example(in_discord) -> None:
    wanted = {name for name, command in in_discord.items() if command.options}
    assert wanted == set(EXAMPLES), "tools/reference/discord_examples.py"
    for name, examples in EXAMPLES.items():
        for example in examples:
            assert example == name or example.startswith(f"{name} "), example


def test_who_may_give_a_command_is_said(in_discord) -> None:
    assert in_discord["gpu set"].for_operators
    assert not in_discord["gpu status"].for_operators


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_discord_command_on_a_page_is_one(page, in_discord) -> None:
    if page.name == "CHANGELOG.md":
        pytest.skip("tells what was so")
    said = [*inline(page), *(line for b in blocks(page) for line in b.text.splitlines())]
    assert [text for text in said if text.startswith("!") and not known(text, in_discord)] == []


def known(text: str, in_discord) -> bool:
    found = _COMMAND.match(text)
    if found is None:
        return True  # no command: `!` alone, `!=`, `![`
    first = found[1].split()[0]
    inside = {name.split()[1] for name in in_discord if name.startswith(f"{first} ")}
    second = re.match(r"!\w+ ([a-z]+)\b", text)
    if first not in in_discord:
        return False
    return not inside or second is None or second[1] in inside


def test_a_discord_command_that_is_none_is_found(in_discord) -> None:
    assert known("!gpu why MODEL", in_discord)
    assert known("!imagine a castle", in_discord)
    assert not known("!gpu stats", in_discord)
    assert not known("!gpus", in_discord)


# --- endpoints and metrics ----------------------------------------------------------------------


def test_every_endpoint_says_what_it_answers() -> None:
    rows = [*endpoints.status_table(), *endpoints.api_table()]
    assert [(method, path) for method, path, told in rows if not told] == []


def test_the_endpoints_are_those_that_programs_are_told_of() -> None:
    from danzar.http.api import make_app

    listed = {path.strip("`") for _, path, _ in endpoints.api_table()}
    assert set(make_app().openapi()["paths"]) <= listed
    assert {"/jobs/ws", "/v1/chat/completions"} <= listed


def test_every_metric_is_on_the_page() -> None:
    page = (REFERENCE / "metrics.md").read_text(encoding="utf-8")
    assert [m.name for m in METRICS if f"`{m.name}`" not in page or not m.text] == []


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_metric_that_a_page_names_is_one(page) -> None:
    names = {metric.name for metric in METRICS}
    names |= {f"{m.name}_{end}" for m in METRICS for end in ("bucket", "sum", "count")}
    said = {t for t in inline(page) if re.fullmatch(r"(vlm|danzar)_[a-z0-9_]+(\{.*\})?", t)}
    assert {text for text in said - NO_METRICS if text.partition("{")[0] not in names} == set()
