"""What `medprm ablate` prints: the table of variants, or one JSON object a figure.

medprm ablate --set source.n=40 --json
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from medprm_hf.errors import ConfigError
from medprm_hf.runs.ablations import Ablations, Outcome, ablate, figures, load

TEST = "test."
CAPTION = (
    "F1: macro-F1 of + and -; less the first: interval of the difference, paired by question; said: share of steps "
    "with a label; loc.: share of wrong locations found; cost: rollouts a solution"
)


def ablate_file(path: Path | None, out: Path, settings: Sequence[str] = (), as_json: bool = False) -> list[Outcome]:
    """Carries a file of variants out and prints what came of it; what is told on the way goes to standard error."""
    said = Console(stderr=True)
    spec = resized(load(path), [one for one in settings if one.startswith(TEST)])
    own = [one for one in settings if not one.startswith(TEST)]
    with redirect_stdout(said.file):  # the trainer prints its log
        found = ablate(spec, out, own, say=lambda line: said.print(line, markup=False))
    if as_json:
        for figure in figures(found):
            print(json.dumps(figure), flush=True)
    else:
        Console().print(table(found))
    return found


def resized(spec: Ablations, settings: Sequence[str]) -> Ablations:
    """The file with another test size: `test.questions=40`."""
    changed = spec.test.model_dump()
    for setting in settings:
        name, _, value = setting.removeprefix(TEST).partition("=")
        if name not in changed or not value.isdecimal():
            raise ConfigError(f"--set {setting}: write it as test.questions=NUMBER or test.solutions=NUMBER")
        changed[name] = int(value)
    return Ablations.model_validate({**spec.model_dump(), "test": changed})


def table(found: Sequence[Outcome]) -> Table:
    """Every variant beside the first of its group."""
    title = "step labels against the truth (phantom world; judge and expert are simulated)"
    shown = Table(title=title, caption=CAPTION, box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for heading in ("variant", "F1", "95 % interval", "less the first", "said", "loc.", "cost"):
        shown.add_column(heading, justify="left" if heading == "variant" else "right", no_wrap=True)
    group = ""
    for one in found:
        if one.group != group:
            group = one.group
            shown.add_section()
            shown.add_row(f"[bold]{group}[/bold]")
        shown.add_row(
            one.variant,
            _number(one.macro_f1),
            _range(one.interval),
            _range(one.difference_interval, "+.2f"),
            _number(one.labelled, ".2f"),
            _number(one.location_recall, ".2f"),
            _number(one.rollouts, ".0f"),
        )
    return shown


def _number(value: float | None, form: str = ".3f") -> str:
    return "" if value is None else format(value, form)


def _range(ends: Sequence[float] | None, form: str = ".3f") -> str:
    return "" if ends is None else " to ".join(format(end, form) for end in ends)
