"""The blocks of a page: their language, heading, and what stands in the marker before them.

    <!-- run: slow -->                      run by the slow tests only
    <!-- run: needs=openai -->              run against the local counterpart of an OpenAI-compatible server
    <!-- run: exit=3,0 -->                  its commands leave with these codes
    <!-- run: elsewhere TEST -->            run by that test
    <!-- run: show-only REASON -->          not run, and why

An unmarked block without language is commands where a line begins with one (`$ ` before it or not), else output.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMANDS = ("medprm", "make", "python", "pip", "hf", "curl", "vllm", "export", "git", "docker", "accelerate", "uvicorn")
SHELLS = ("bash", "sh", "shell", "console")
SHOWN = ("text", "json", "yaml", "html", "csv")
_FENCE = re.compile(r"(?:<!-- run: (?P<run>.+?) -->\n\n?)?^```(?P<language>\w*)[^\n]*\n(?P<code>.*?)^```$", re.M | re.S)
_TITLE = re.compile(r"^#+ (.+)$", re.M)
_ANYTHING = re.compile(r"^\s*(```|~~~)", re.M)


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: str
    heading: str
    line: int
    language: str
    code: str
    run: str

    @property
    def name(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def first(self) -> str:
        """Its first line, by which marks.yaml names it."""
        return self.code.strip().splitlines()[0].strip()

    @property
    def kind(self) -> str:
        """python, shell, or shown."""
        if self.language == "python":
            return "python"
        if self.language in SHELLS or (not self.language and any(map(_is_command, self.code.splitlines()))):
            return "shell"
        return "shown"

    @property
    def commands(self) -> list[str]:
        """Command lines, as typed: a quote that is open at the end of a line goes on on the next."""
        lines = self.code.splitlines()
        prompted = [line[2:] for line in lines if line.startswith("$ ")]
        found: list[str] = []
        open_ = ""
        for line in prompted or lines:
            text = f"{open_}\n{line}" if open_ else line.strip()
            if not _closed(text):
                open_ = text
                continue
            open_ = ""
            if text and not text.startswith("#"):
                found.append(text)
        return found + ([open_] if open_ else [])


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    titles = [(match.start(), match[1]) for match in _TITLE.finditer(text)]
    found = []
    for match in _FENCE.finditer(text):
        heading = next((title for start, title in reversed(titles) if start < match.start()), "")
        line = text.count("\n", 0, match.start("language")) + 1
        name = str(page.relative_to(ROOT)).removeprefix("docs/")
        found.append(Block(name, heading, line, match["language"], match["code"], (match["run"] or "").strip()))
    return found


def fences(page: Path) -> int:
    """How many fences there are, indented ones and tildes too: twice the number of blocks, or one is not seen."""
    return len(_ANYTHING.findall(page.read_text(encoding="utf-8")))


def _is_command(line: str) -> bool:
    words = line.removeprefix("$ ").split()
    return bool(words) and (line.startswith("$ ") or (line[:1].strip() != "" and words[0] in COMMANDS))


def _closed(text: str) -> bool:
    if text.endswith("\\"):
        return False
    try:
        shlex.split(text, comments=True)
    except ValueError:
        return False
    return True
