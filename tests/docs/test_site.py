"""The documentation as a site: it builds without a warning, and asks no other host for anything."""

import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests.docs.pages import ROOT

# Addresses that a page would load by itself; links that a reader may follow are not among them.
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video)[^>]*\ssrc=["']?(?:https?:)?//|"""
    r"""<link[^>]*\srel=["']?(?:stylesheet|icon|preconnect|preload|dns-prefetch)[^>]*//""",
    re.IGNORECASE,
)
_IN_STYLES = re.compile(r"@import|url\(['\"]?(?:https?:)?//", re.IGNORECASE)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    # The theme's authors tell of another program of theirs; that is no warning about the pages.
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").is_file()
    assert (site / "search" / "search_index.json").is_file()


def test_no_page_loads_anything_from_another_host(site: Path) -> None:
    found = {page.name: _LOADED.findall(page.read_text("utf-8")) for page in site.rglob("*.html")}
    assert {name: hits for name, hits in found.items() if hits} == {}
    styles = [s for s in site.rglob("*.css") if _IN_STYLES.search(s.read_text("utf-8"))]
    assert styles == []


def test_diagrams_need_no_script(site: Path) -> None:
    """The theme would fetch mermaid from another host if it met a diagram."""
    page = (site / "architecture" / "index.html").read_text("utf-8")
    assert 'class="mermaid"' not in page
    assert "<svg" in page.split('class="diagram"')[1]


@pytest.mark.parametrize(
    ("text", "loads"),
    [
        ('<a href="https://discord.com">', False),
        ('<script src="assets/x.js">', False),
        ('<script src="https://cdn.example/x.js">', True),
        ("<img alt=x src=//cdn.example/x.png>", True),
        ('<link rel="stylesheet" href="https://fonts.example/x.css">', True),
    ],
)
def test_a_foreign_host_is_found(text: str, loads: bool) -> None:
    assert bool(_LOADED.search(text)) is loads


class Quiet(SimpleHTTPRequestHandler):
    """Without a line for each request."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The folder's address while the context lasts."""
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.browser
def test_reading_and_searching_ask_no_other_host(site: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    asked: list[str] = []
    with serving(site) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/architecture/", wait_until="networkidle")
        page.click("input[name=query]")
        # What is typed before the index is there is lost.
        page.wait_for_function(
            "!document.querySelector('.md-search-result__meta').innerText.startsWith('Init')"
        )
        page.keyboard.type("quarantined")
        page.wait_for_selector(".md-search-result__item a")
        browser.close()
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
