"""Hooks of mkdocs: what GitHub shows by itself and a site does not.

The pages are read in both places. A link to a file of the repository, and a mermaid diagram, work
on GitHub; here the first becomes the file's name, and the second the drawing that was made of it.
"""

import hashlib
import posixpath
import re
from pathlib import Path
from typing import Any

DIAGRAMS = Path(__file__).parents[2] / "docs" / "images" / "diagrams"
MERMAID = re.compile(r"^```mermaid\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((\.\./[^)\s]+)\)")


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:  # noqa: ANN401 - mkdocs's own
    """The page as the site needs it."""
    return without_repository_links(with_drawings(markdown), page.file.src_uri)


def drawing_of(source: str) -> Path:
    """Where the drawing of a diagram is. Another text has another name, so none is out of date."""
    return DIAGRAMS / f"{hashlib.sha256(source.encode()).hexdigest()[:12]}.svg"


def with_drawings(markdown: str) -> str:
    """Each mermaid diagram as the drawing that `python -m tools.site.diagrams` made of it.

    Raises:
        FileNotFoundError: There is none for the diagram as it is now.
    """

    def drawn(found: re.Match[str]) -> str:
        svg = drawing_of(found[1]).read_text(encoding="utf-8")
        return f'<div class="diagram">{svg}</div>'

    return MERMAID.sub(drawn, markdown)


def without_repository_links(markdown: str, page: str) -> str:
    """Links that leave the documentation, as ``text (path)``; code blocks stay as they are."""
    parts, end = [], 0
    for block in _FENCED.finditer(markdown):
        parts += [_named(markdown[end : block.start()], page), block[0]]
        end = block.end()
    return "".join([*parts, _named(markdown[end:], page)])


def _named(text: str, page: str) -> str:
    def named(link: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join("docs", posixpath.dirname(page), link[2]))
        if target.startswith("docs/"):
            return link[0]
        label = link[1].strip("`")
        return f"`{target}`" if target.endswith(label) else f"{link[1]} (`{target}`)"

    return _LINK.sub(named, text)
