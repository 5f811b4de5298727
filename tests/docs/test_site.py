"""The site: built strictly, complete, no link into nothing, nothing fetched from elsewhere; links of README.md too."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import yaml

from tests.docs.blocks import ROOT

DOCS = ROOT / "docs"
MARKDOWN = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]


class Page(HTMLParser):
    """Ids, links and everything that a browser would fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetched: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        has = {name: value or "" for name, value in attrs}
        self.ids |= {has[name] for name in ("id", "name") if name in has}
        if tag == "a" and "href" in has:
            self.links.append(has["href"])
        fetches = tag in ("script", "img", "iframe", "source", "video", "audio", "embed")
        if fetches and "src" in has:
            self.fetched.append(has["src"])
        if tag == "link" and has.get("rel") not in ("canonical", "next", "prev", "alternate", "edit"):
            self.fetched.append(has.get("href", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    return {str(file.relative_to(site)): Page(file.read_text("utf-8")) for file in sorted(site.rglob("*.html"))}


def test_every_page_stands_in_the_navigation() -> None:
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text("utf-8"))["nav"]
    listed = re.findall(r"[\w-]+\.md", str(nav))
    written = {str(file.relative_to(DOCS)) for file in DOCS.rglob("*.md")}
    assert len(listed) == len(set(listed))
    assert set(listed) - written == set(), "the navigation names pages that nobody has written"
    assert written - set(listed) == set(), "pages that the navigation lacks"


def test_no_link_leads_into_nothing(pages: dict[str, Page], site: Path) -> None:
    broken = [
        f"{name}: {link}" for name, page in pages.items() if name != "404.html"
        for link in [*page.links, *page.fetched] if not _leads(name, link, pages, site)
    ]  # fmt: skip
    assert not broken, "\n".join(broken)


def _leads(name: str, link: str, pages: dict[str, Page], site: Path) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return _well_formed(link)
    target = os.path.normpath(os.path.join(os.path.dirname(name), unquote(parts.path))) if parts.path else name
    if target in (".", "") or (site / target).is_dir():
        target = os.path.normpath(f"{target}/index.html")
    if not (site / target).is_file():
        return False
    anchor = unquote(parts.fragment)
    return not anchor or target not in pages or anchor in pages[target].ids or anchor.startswith("__")


def _well_formed(link: str) -> bool:
    """External links are not followed: a name, and http, https or mail."""
    parts = urlsplit(link)
    if parts.scheme == "mailto":
        return "@" in parts.path
    own = parts.hostname in ("127.0.0.1", "localhost")
    return parts.scheme in ("http", "https") and (own or "." in (parts.hostname or "")) and " " not in link


def test_nothing_is_fetched_from_elsewhere(pages: dict[str, Page], site: Path) -> None:
    foreign = [f"{name}: {src}" for name, page in pages.items() for src in page.fetched if urlsplit(src).netloc]
    assert len(pages) > 25 and not foreign, "\n".join(foreign)
    for sheet in site.rglob("*.css"):
        asked = re.findall(r"(?:@import\s+|url\()[\"']?(https?:)?//", sheet.read_text("utf-8"))
        assert not asked, f"{sheet.name} fetches from elsewhere"


@pytest.mark.parametrize("file", MARKDOWN, ids=lambda file: file.name)
def test_links_of_the_front_pages(file: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", file.read_text("utf-8"))
    for link in links:
        if urlsplit(link).scheme:
            assert _well_formed(link), link
            continue
        path, _, anchor = link.partition("#")
        target = (file.parent / path) if path else file
        assert target.exists(), f"{file.name}: {link}"
        assert not anchor or anchor in _anchors(target), f"{file.name}: {link}"


def _anchors(file: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_no_page_names_a_machine() -> None:
    for file in [*DOCS.rglob("*.md"), *MARKDOWN]:
        found = re.findall(r"(?<![\w.])/(?:root|home/\w+|work|opt)/\S*", file.read_text("utf-8"))
        assert not found, f"{file.name}: {found}"
