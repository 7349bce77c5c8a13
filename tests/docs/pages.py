"""The documentation as the tests read it: pages, links, headings, code."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import typer
from pymdownx.slugs import slugify

from danzar.cli import app

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.rglob("*.md"), ROOT / "README.md", ROOT / "CHANGELOG.md"])

_FENCE = re.compile(r"^( *)(```+|~~~+) *([\w-]*)[^\n]*\n(.*?)^\1\2 *$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"(?:^|\n)\n((?: {4}[^\n]*\n|\n)+)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *#*$", re.MULTILINE)
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^)\s]+)(?: \"[^\"]*\")?\)")
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_DANZAR = re.compile(
    r"^(?:\$ |sudo (?:-u \w+ )?)*(?:[A-Z][A-Z_]*=\S* )*(?:uv run )?(?:[\w./-]*/)?danzar (?=\S)"
)
_END = ("|", "||", "&&", ";", ">", ">>", "<", "&", "2>")
_slug = slugify(case="lower")


@dataclass(frozen=True, slots=True)
class Block:
    """One block of code; ``language`` is empty where none is said."""

    page: str
    language: str
    text: str


def name_of(page: Path) -> str:
    """As messages show it."""
    return page.relative_to(ROOT).as_posix()


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose(text: str) -> str:
    """The text without its blocks of code."""
    return _INDENTED.sub("\n\n", _FENCE.sub("\n", text))


def blocks(page: Path) -> Iterator[Block]:
    """Every block of code, fenced or indented."""
    text, name = text_of(page), name_of(page)
    for found in _FENCE.finditer(text):
        yield Block(name, found[3], found[4])
    for found in _INDENTED.finditer(_FENCE.sub("\n", text)):
        yield Block(name, "", re.sub(r"^ {4}", "", found[1], flags=re.MULTILINE))


def inline(page: Path) -> Iterator[str]:
    """What stands as code within lines."""
    yield from _INLINE.findall(prose(text_of(page)))


def links(text: str) -> list[str]:
    """The targets of all links and pictures, foreign ones not."""
    without_code = _INLINE.sub("", prose(text))
    return [to for to in _LINK.findall(without_code) if not re.match(r"[a-z]+:", to)]


@cache
def anchors(text: str) -> set[str]:
    """What the page's headings are called in a link, as GitHub and the site have it."""
    found: dict[str, int] = {}
    names = set()
    for title in _HEADING.findall(_FENCE.sub("\n", text)):
        plain = re.sub(r"`|\*\*|\[([^\]]*)\]\([^)]*\)", r"\1", title)
        name = _slug(plain, "-")
        count = found[name] = found.get(name, 0) + 1
        names.add(name if count == 1 else f"{name}_{count - 1}")
    return names


def broken_links(page: Path, text: str) -> list[str]:
    """Links of this text that lead nowhere."""
    return [to for to in links(text) if not _leads_somewhere(page, text, to)]


def _leads_somewhere(page: Path, text: str, to: str) -> bool:
    path, _, anchor = to.partition("#")
    target = (page.parent / path).resolve() if path else page
    if not target.exists():
        return False
    if not anchor or target.suffix != ".md":
        return True
    return anchor in anchors(text if target == page else text_of(target))


def command_lines(text: str) -> Iterator[list[str]]:
    """The words after ``danzar`` of every line that calls it."""
    for line in text.replace("\\\n", " ").splitlines():
        found = _DANZAR.match(line.strip())
        if found:
            yield _words(line.strip()[found.end() :])


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text, comments=True)
    except ValueError:  # an apostrophe in what is no shell
        words = text.split()
    end = next((i for i, word in enumerate(words) if word in _END), len(words))
    return words[:end]


def misunderstood(words: list[str], *, whole: bool) -> str | None:
    """What is wrong with a call of ``danzar``; parsed only, nothing runs.

    Args:
        words: What follows ``danzar``. ``a|b`` stands for both commands.
        whole: Whether it is all that one types, so that nothing may be missing.
    """
    if not words or words[0].startswith("-"):
        words = [word for word in words if not word.startswith("-")]
    if "..." in words or "COMMAND" in words:  # stands for several
        return None
    either = next(
        (i for i, word in enumerate(words) if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", word)), None
    )
    if either is None:
        return _one_misunderstood(words, whole=whole)
    several = ([*words[:either], word, *words[either + 1 :]] for word in words[either].split("|"))
    return next(filter(None, (misunderstood(one, whole=whole) for one in several)), None)


@cache
def _danzar() -> Any:
    """The command line itself."""
    return typer.main.get_command(app)


def _one_misunderstood(words: list[str], *, whole: bool) -> str | None:
    command, rest = _danzar(), list(words)
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    told = f"danzar {' '.join(words)}"
    if hasattr(command, "commands") and rest and not rest[0].startswith((".", "-", "[")):
        return f"{told}: there is no command {rest[0]}"
    known = {"--help", "-h"}
    known.update(name for p in command.params for name in (*p.opts, *p.secondary_opts))
    named = (re.match(r"\[?(--?[a-zA-Z][\w-]*)", word) for word in rest)
    wrong = [found[1] for found in named if found and found[1] not in known]
    if wrong:
        return f"{told}: there is no option {wrong[0]}"
    return _incomplete(command, rest, told) if whole and "--help" not in rest else None


def _incomplete(command: Any, rest: list[str], told: str) -> str | None:
    try:
        command.make_context("danzar", list(rest))
    except Exception as exc:  # noqa: BLE001 - typer's own classes are not in its interface
        said = getattr(exc, "message", None) or str(exc)
        # A file of the reader's is not here, and a placeholder such as N is no number.
        mine = re.search(r"does not exist|no such|not a valid|is a directory", said, re.IGNORECASE)
        return None if mine else f"{told}: {said}"
    return None
