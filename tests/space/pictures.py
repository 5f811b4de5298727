"""Pictures of every tab, light, dark and as wide as a phone: for looking at, and as artefacts of the CI.

    python -m tests.space.pictures --out pictures [--url http://127.0.0.1:7860/] [--only score,explore]

Without `--url` a Space over a small dataset is started. Each picture is NAME-LOOK.png; nothing is compared.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}
"""The looks that each scene is taken in."""


def score_empty(page: Any, url: str) -> None:
    """The Score tab as one meets it."""
    page.goto(url + "#score")
    page.wait_for_selector("[data-example=right]")


def score_one(page: Any, url: str) -> None:
    """One solution with an error, scored."""
    score_empty(page, url)
    page.click("[data-example=rule]")
    page.wait_for_selector(".mp-score .step", timeout=60_000)


def score_several(page: Any, url: str) -> None:
    """Best of four."""
    score_empty(page, url)
    page.click("[data-example=several]")
    page.wait_for_selector(".mp-score .summary", timeout=60_000)


def explore_list(page: Any, url: str) -> None:
    """Filters and rows."""
    page.goto(url + "#explore")
    page.wait_for_selector(".mp-explore .line")


def explore_row(page: Any, url: str) -> None:
    """One row."""
    page.goto(url + "#explore?row=1")
    page.wait_for_selector(".mp-explore .step")


def export_tab(page: Any, url: str) -> None:
    """A format, and what it cannot hold."""
    page.goto(url + "#export")
    page.wait_for_selector("#export-run")


def export_done(page: Any, url: str) -> None:
    """After the download."""
    export_tab(page, url)
    with page.expect_download():
        page.click("#export-run")
    page.wait_for_selector(".mp-export [role=status]")


def log_in(page: Any, url: str) -> None:
    """A name, where the server takes one."""
    page.context.request.post(url + "review/api/login", data={"name": "ann"})


def review(page: Any, url: str) -> None:
    """The Review tab."""
    log_in(page, url)
    page.goto(url + "#review")
    page.wait_for_timeout(2500)


def agree(page: Any, url: str) -> None:
    """The Agree tab."""
    log_in(page, url)
    page.goto(url + "#agree")
    page.wait_for_timeout(2500)


SCENES: dict[str, Callable[[Any, str], None]] = {
    "score": score_empty,
    "score-one": score_one,
    "score-several": score_several,
    "review": review,
    "agree": agree,
    "explore": explore_list,
    "explore-row": explore_row,
    "export": export_tab,
    "export-done": export_done,
}


def take(browser: Any, url: str, out: Path, only: str = "") -> list[Path]:
    """Takes every scene (or those whose names begin with one of `only`) in every look; gives the files."""
    out.mkdir(parents=True, exist_ok=True)
    wanted = [name for name in SCENES if not only or any(name.startswith(part) for part in only.split(","))]
    made = []
    for look, options in LOOKS.items():
        context = browser.new_context(**options, locale="en-US")
        for name in wanted:
            page = context.new_page()
            SCENES[name](page, url)
            page.wait_for_timeout(400)  # until colours and bars have moved
            made.append(out / f"{name}-{look}.png")
            # Bars that stay in sight would stand in the middle of a picture of the whole page.
            page.screenshot(path=made[-1], full_page=name != "review")
            page.close()
        context.close()
    return made


@contextmanager
def own_space() -> Iterator[str]:
    """A Space over a small dataset."""
    from tests.space.conftest import space
    from tests.space.dataset import dataset

    with tempfile.TemporaryDirectory(prefix="medprm-pictures-") as folder:
        made = dataset(Path(folder) / "phantom-demo", questions=40)
        with space(Path(folder), str(made)) as url:
            yield url


def main() -> None:
    """The command line."""
    from tests.space.review_server import browsing

    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--out", type=Path, required=True)
    asked.add_argument("--url")
    asked.add_argument("--only", default="")
    given = asked.parse_args()
    with browsing() as browser:
        if given.url:
            files = take(browser, given.url, given.out, given.only)
        else:
            with own_space() as url:
                files = take(browser, url, given.out, given.only)
    print("\n".join(map(str, files)))


if __name__ == "__main__":
    main()
