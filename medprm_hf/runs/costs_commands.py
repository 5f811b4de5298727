"""What `medprm estimate` prints."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from medprm_hf.backends.money.prices import PriceTable
from medprm_hf.errors import ConfigError
from medprm_hf.recipe import Recipe
from medprm_hf.runs.costs import Assumption, Range, money_range, spread
from medprm_hf.runs.estimate import Estimate, as_dict, estimate
from medprm_hf.runs.published import PUBLISHED, Published
from medprm_hf.runs.published import as_dict as published_dict

console = Console(soft_wrap=True, highlight=False)


def show_estimate(recipe: Recipe, assume: Sequence[str] = (), as_json: bool = False) -> Estimate:
    """Prints the estimate of a recipe: per stage, in all, per label, and what it rests on."""
    found = estimate(recipe, read_assumptions(assume))
    if as_json:
        print(json.dumps(as_dict(found), indent=1))
        return found
    console.print(_stages(recipe, found))
    console.print(f"[bold]in all {money_range(found.usd)}[/bold]")
    per_label = found.per_label
    if per_label is not None:
        console.print(f"labels {found.labels.short()}; {money_range(per_label)} a label")
    console.print(f"beside: {recipe.rollout.k} rollouts of every step {money_range(found.all_rollout)}")
    console.print(f"beside: an expert on every step {money_range(found.all_expert)}")
    console.print("what this rests on (change one with --assume NAME=VALUE):")
    console.print("\n".join(map(_said, found.assumptions)), markup=False)
    for note in found.notes:
        console.print(f"- {note}")
    return found


def show_scale(recipe: Recipe, assume: Sequence[str] = (), like: Path | None = None, as_json: bool = False) -> None:
    """Prints what a large run of a recipe would be, simulated (`scale.py`); reads no source and asks no model."""
    from medprm_hf.runs.scale import lines_of, of_recipe, simulate
    from medprm_hf.runs.scale_sizes import MEASURED, measured

    size, servers = of_recipe(recipe, {name: given.likely for name, given in read_assumptions(assume).items()})
    found = simulate(size, servers, measured(like) if like else MEASURED, recipe.seed)
    if as_json:
        print(json.dumps(found.as_dict(), indent=1))
    else:
        console.print("\n".join(lines_of(found)), markup=False)


def show_published(as_json: bool = False) -> None:
    """Prints the published costs beside our sums."""
    prices = PriceTable()
    if as_json:
        print(json.dumps([published_dict(figure, prices) for figure in PUBLISHED], indent=1))
        return
    for figure in PUBLISHED:
        _show_one(figure, prices)


def read_assumptions(given: Sequence[str]) -> dict[str, Range]:
    """`steps=7` or `steps=5:7:9` (low, likely, high); ConfigError for anything else."""
    found = {}
    for text in given:
        name, _, value = text.partition("=")
        try:
            numbers = [float(part) for part in value.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) not in (1, 3) or min(numbers, default=-1.0) < 0:
            raise ConfigError(f"--assume {text}: write NAME=NUMBER or NAME=LOW:LIKELY:HIGH, 0 or more")
        found[name] = spread(*numbers)
    return found


def _stages(recipe: Recipe, found: Estimate) -> Table:
    table = Table(title=f"what {recipe.name} will cost, likely (low to high)")
    for heading in ("stage", "model", "how many", "tokens in", "tokens out", "USD"):
        left = heading in ("stage", "model")
        table.add_column(heading, justify="left" if left else "right", overflow="fold")
    for work in found.works:
        prompt, completion = work.tokens()
        table.add_row(
            work.stage,
            work.model.removesuffix(":"),
            f"{_big(work.units.likely)} {work.what}s",
            _big(prompt.likely),
            _big(completion.likely),
            work.cost_words(found.prices),
        )
    return table


def _said(each: Assumption) -> str:
    """One assumption in a line."""
    unit = f" {each.unit}" if each.unit else ""
    return f"  - {each.name} {each.value.short(_digits(each.value))}{unit}: {each.how}"


def _show_one(figure: Published, prices: PriceTable) -> None:
    low, high = figure.stated
    stated = f"${low:,.0f}" if low == high else f"${low:,.0f} to ${high:,.0f}"
    console.print(f"[bold]{figure.name}[/bold]: published {stated}, here {money_range(figure.usd(prices))}")
    console.print(f"  {figure.source}")
    if figure.beside_stated is not None:
        beside = money_range(figure.beside_usd(prices))
        console.print(f"  beside: published about ${figure.beside_stated:,.0f}, here {beside}")
    for each in figure.assumptions:
        console.print(_said(each), markup=False)


def _digits(value: Range) -> int:
    """Digits behind the point that a figure needs."""
    if all(float(end).is_integer() for end in value):
        return 0
    return 4 if value.likely < 0.1 else 2 if value.likely < 100 else 0


def _big(count: float) -> str:
    """1.2 M, 340 k."""
    for size, name in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= size:
            return f"{count / size:,.1f} {name}"
    return f"{count:,.0f}"
