"""Words of Markdown that the pages share. Pure."""

from collections.abc import Iterable, Sequence

NOTE = "<!-- Made by `uv run python -m tools.reference`; a test fails when it is not current. -->"


def page(title: str, about: str, parts: Iterable[str]) -> str:
    """A whole page."""
    return "\n\n".join((NOTE, f"# {title}", about.strip(), *parts)) + "\n"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table without columns that are empty; a cell is one line, and its bars are escaped."""
    body = list(rows)
    filled = [i for i in range(len(head)) if any(row[i] for row in body)]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(_cell(line[i]) for i in filled)} |" for line in lines)


def code(text: object) -> str:
    """As code, within a line; empty stays empty."""
    return f"`{text}`" if str(text) else ""


def sentence(text: str) -> str:
    """On one line, ending in a full stop."""
    line = " ".join(text.split())
    return line if not line or line.endswith((".", "!", "?")) else f"{line}."


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
