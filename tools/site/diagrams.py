"""Draw the pages' mermaid diagrams once, so that the site needs no script for them.

    npm pack mermaid@11 && tar xf mermaid-*.tgz
    uv run python -m tools.site.diagrams package/dist/mermaid.min.js

Draws what has no drawing yet, in Chromium, and removes drawings that no page shows any more.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

from tools.site.hooks import DIAGRAMS, MERMAID, drawing_of

PAGES = Path(__file__).parents[2] / "docs"
_DRAW = """async ([source, id]) => {
    mermaid.initialize({startOnLoad: false, theme: "neutral", fontFamily: "sans-serif",
                        deterministicIds: true, flowchart: {useMaxWidth: true}});
    return (await mermaid.render(id, source)).svg;
}"""


def diagrams() -> Iterator[str]:
    """The source of every diagram of the documentation."""
    for page in sorted(PAGES.rglob("*.md")):
        yield from MERMAID.findall(page.read_text(encoding="utf-8"))


def main(mermaid: Path) -> None:
    """Draw what is missing with this build of mermaid."""
    from playwright.sync_api import sync_playwright

    sources = list(diagrams())
    wanted = {drawing_of(source): source for source in sources}
    DIAGRAMS.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path="/usr/bin/chromium", args=["--no-sandbox"]
        )
        page = browser.new_page()
        page.add_script_tag(path=mermaid)
        for file, source in wanted.items():
            if not file.exists():
                file.write_text(page.evaluate(_DRAW, [source, f"d{file.stem}"]), encoding="utf-8")
        browser.close()
    for old in set(DIAGRAMS.glob("*.svg")) - set(wanted):
        old.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
