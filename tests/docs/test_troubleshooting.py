"""docs/troubleshooting.md quotes what Danzar really says, and knows every line of the doctor."""

import ast
import re
from collections.abc import Iterator
from functools import cache

import pytest

from tests.docs.pages import DOCS, ROOT, text_of

PAGE = text_of(DOCS / "troubleshooting.md")
GAP = "…"
MORE = PAGE.split("## More of what it says")[1].split("\n## ")[0]
QUOTED = [line[2:].strip() for line in PAGE.splitlines() if line.startswith("> ")]
QUOTED += [row.strip() for row in re.findall(r"^\| (.+?) \|", MORE, re.MULTILINE)[2:]]
# What keeps Danzar from starting, or a command from doing what it was asked.
STOPS = {
    "ApiServerError", "BotSilent", "CannotStart", "DriverAbsent", "NoBot", "QueueUnavailable",
    "StatusServerError", "StoreFailed",
}  # fmt: skip
SOURCES = ("danzar", "cogs")


@cache
def said() -> tuple[str, ...]:
    """Every text in the source; what an f-string puts in is a gap."""
    spoken = [
        text
        for folder in SOURCES
        for file in sorted((ROOT / folder).rglob("*.py"))
        for text in texts(ast.parse(file.read_text(encoding="utf-8")))
    ]
    page = (ROOT / "danzar" / "http" / "page" / "js").glob("*.js")
    spoken += [file.read_text(encoding="utf-8") for file in page]
    return tuple(" ".join(text.split()) for text in spoken)


def texts(tree: ast.AST) -> Iterator[str]:
    """What may be said; explanations in the source are not."""
    explained = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in explained:
            continue
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                str(part.value) if isinstance(part, ast.Constant) else GAP for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def is_said(message: str, known: tuple[str, ...]) -> bool:
    """Whether one text has all pieces of the message in their order."""
    pieces = [re.escape(piece.strip()) for piece in message.split(GAP) if len(piece.strip()) > 1]
    pattern = re.compile(".*".join(pieces))
    return any(pattern.search(text) for text in known)


@pytest.mark.parametrize("message", QUOTED)
def test_what_is_quoted_is_really_said(message: str) -> None:
    assert is_said(message, said())


def test_every_message_that_stops_danzar_is_on_the_page() -> None:
    raised = {
        text
        for folder in SOURCES
        for file in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in STOPS and node.args
        for text in list(texts(node.args[0]))[:1]
    }
    assert len(raised) > 20
    told = {text for text in raised for quoted in QUOTED if is_said(quoted, (text,))}
    assert {text for text in raised - told if len(text) > len(GAP)} == set()


def test_a_message_that_nobody_says_is_found() -> None:
    known = ("Discord can't be reached at …; check the network",)
    assert is_said("Discord can't be reached at …", known)
    assert not is_said("Discord can not be reached at …", known)
    assert not is_said("check the network … Discord can't be reached at", known)


def test_every_line_of_the_doctor_is_explained() -> None:
    table = PAGE.split("## What `danzar doctor` says")[1].split("\n## ")[0]
    names = set()
    for file in (ROOT / "danzar" / "commands").glob("doctor*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Finding":
                name = node.args[1]
                names.add(name.value if isinstance(name, ast.Constant) else "")
    assert {"driver", "torch"} <= names
    assert {name for name in names - {"", "ffmpeg"} if f"`{name}`" not in table} == set()


def test_every_symptom_says_what_to_do() -> None:
    """No heading stands alone."""
    sections = re.split(r"^#{2,3} .+$", PAGE, flags=re.MULTILINE)[1:]
    titles = re.findall(r"^(#{2,3}) (.+)$", PAGE, flags=re.MULTILINE)
    empty = [
        title
        for (level, title), text, following in zip(
            titles, sections, [*titles[1:], ("##", "")], strict=True
        )
        if not text.strip() and not (level == "##" and following[0] == "###")
    ]
    assert empty == []
