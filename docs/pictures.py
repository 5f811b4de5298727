"""Makes docs/pictures/report.png again: the top of the report of the demo recipe, as a browser shows it.

python docs/pictures.py [RUN]       RUN: a finished demo; without it one is built in a temporary folder
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

PICTURE = Path(__file__).parent / "pictures" / "report.png"
WIDTH, HEIGHT = 1000, 1330
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main() -> None:
    """Builds the demo where none is given, and takes the picture."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is here: a browser takes the picture")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(sys.argv[1]) if len(sys.argv) > 1 else _demo(Path(folder) / "demo")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run"]
        flags += ["--hide-scrollbars", f"--user-data-dir={folder}/browser", f"--window-size={WIDTH},{HEIGHT}"]
        page = (run / "report.html").resolve().as_uri()
        subprocess.run([browser, *flags, f"--screenshot={PICTURE}", page], check=True, capture_output=True, timeout=120)
    print(f"wrote {PICTURE}")


def _demo(directory: Path) -> Path:
    from medprm_hf.recipe import load
    from medprm_hf.runs.commands import build_run

    build_run(directory, load(str(resources.files("medprm_hf") / "recipes" / "phantom.yaml")))
    return directory


if __name__ == "__main__":
    main()
