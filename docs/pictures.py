"""Takes the pictures of docs/pictures again, as a browser shows report, Space and guide; and draws the architecture.

    python docs/pictures.py [RUN] [--only report,space,guide,architecture]

RUN is a finished demo; without it one is built in a temporary folder. Needs Chromium and the `dev` extra; minutes.
Nothing is drawn by hand: what a picture shows is what the code of this commit does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
PICTURES = ROOT / "docs" / "pictures"
SIZE = {"width": 1280, "height": 860}
SCENES = {
    "space-score": "score-several",
    "space-review": "review",
    "space-explore": "explore-row",
}
"""Our file: the scene of tests/space/pictures.py that it shows."""


def main() -> None:
    """The command line."""
    reader = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    reader.add_argument("run", nargs="?", type=Path)
    reader.add_argument("--only", default=",".join(TAKEN))
    given = reader.parse_args()
    with tempfile.TemporaryDirectory(prefix="medprm-pictures-") as folder:
        wanted = given.only.split(",")
        run = given.run or (_demo(Path(folder) / "demo") if {"report", "space"} & set(wanted) else Path(folder))
        for name in wanted:
            for file in TAKEN[name](run, Path(folder)):
                print(f"wrote {file.relative_to(ROOT)}")


def report(run: Path, folder: Path) -> Iterator[Path]:
    """The top of the demo's report."""
    with _page({"width": 1000, "height": 1330}) as page:
        page.goto((run / "report.html").resolve().as_uri())
        yield _shot(page, "report")


def space(run: Path, folder: Path) -> Iterator[Path]:
    """The Space's tabs over a copy of the run, with its review queue."""
    from tests.space.pictures import SCENES as scenes

    shutil.copytree(run, folder / "shown", dirs_exist_ok=True)
    with _space(folder / "shown") as url, _page(SIZE) as page:
        for name, scene in SCENES.items():
            scenes[scene](page, url)
            page.wait_for_timeout(500)  # until colours and bars have moved
            yield _shot(page, name)


def guide(run: Path, folder: Path) -> Iterator[Path]:
    """A page of this guide."""
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder / "site")]
    subprocess.run(command, cwd=ROOT, env=quiet, check=True)
    with _page(SIZE) as page:
        page.goto((folder / "site" / "tour.html").as_uri())
        yield _shot(page, "guide")


def architecture(run: Path, folder: Path) -> Iterator[Path]:
    """Who imports whom."""
    subprocess.run([sys.executable, str(ROOT / "docs/make/architecture.py")], check=True, stdout=subprocess.DEVNULL)
    yield PICTURES / "architecture.svg"


TAKEN: dict[str, Callable[[Path, Path], Iterator[Path]]] = {
    "report": report,
    "space": space,
    "guide": guide,
    "architecture": architecture,
}


@contextmanager
def _page(size: dict[str, int]) -> Iterator[Any]:
    from tests.space.review_server import browsing

    with browsing() as browser:
        context = browser.new_context(viewport=size, color_scheme="light", locale="en-US")
        yield context.new_page()


def _shot(page: Any, name: str) -> Path:
    """The visible part, with as few colours as it needs: a third of the bytes."""
    from PIL import Image

    file = PICTURES / f"{name}.png"
    page.screenshot(path=file)
    with Image.open(file) as taken:
        taken.convert("RGB").quantize(192, dither=Image.Dither.NONE).save(file, optimize=True)
    return file


@contextmanager
def _space(run: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    subprocess.run([sys.executable, "-m", "medprm_hf.cli", "review", str(run)], cwd=ROOT, check=True)
    words = ["space", str(run), "--prm", "phantom:prm", "--port", str(port)]
    server = subprocess.Popen([sys.executable, "-m", "medprm_hf.cli", *words], cwd=ROOT)
    try:
        _wait(port)
        yield f"http://127.0.0.1:{port}/"
    finally:
        server.terminate()
        server.wait(30)


def _wait(port: int, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    sys.exit(f"the Space has not answered within {seconds:.0f} s")


def _demo(directory: Path) -> Path:
    from medprm_hf.recipe import load
    from medprm_hf.runs.commands import build_run

    build_run(directory, load(str(resources.files("medprm_hf") / "recipes" / "phantom.yaml")))
    return directory


if __name__ == "__main__":
    main()
