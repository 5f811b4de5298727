"""The money of a run: its journal, ledger, budget and prices lie in the run directory.

runs/demo/journal.sqlite   every answer that was paid for (backends/journals/journal.py)
runs/demo/spent.jsonl      what was asked and spent, over sessions and processes (backends/money/ledger.py)
runs/demo/prices.yaml      prices that the recipe or `--prices FILE` gave, if any

with run_books(Path("runs/demo"), recipe) as books:
    …
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from medprm_hf.backends.books import Books, open_books
from medprm_hf.backends.money.ledger import Ledger
from medprm_hf.backends.money.prices import PriceTable
from medprm_hf.backends.money.tally import Account, Tally, money
from medprm_hf.errors import ConfigError
from medprm_hf.recipe import Recipe
from medprm_hf.runs.shards import write_text

JOURNAL, LEDGER, PRICES = "journal.sqlite", "spent.jsonl", "prices.yaml"


@contextmanager
def run_books(
    directory: Path, recipe: Recipe, journal: Path | None = None, older: Sequence[Path] = ()
) -> Iterator[Books]:
    """The books of one run, open for as long as it is worked on; `journal` in place of the run's, `older` ones read."""
    prices = run_prices(directory, recipe)
    with open_books(journal or directory / JOURNAL, recipe.budget, directory / LEDGER, prices, older) as books:
        yield books


def run_prices(directory: Path, recipe: Recipe) -> Path | None:
    """The run's own price file, written from what the recipe gives; None where it gives nothing."""
    given, file = recipe.prices, directory / PRICES
    if given is None:
        return None
    if isinstance(given, str) and not Path(given).is_file() and file.is_file():
        return file  # resumed elsewhere: the run kept its copy
    price_table(recipe)  # refused here if it cannot be read
    text = Path(given).read_text(encoding="utf-8") if isinstance(given, str) else yaml.safe_dump(given)
    if not file.is_file() or file.read_text(encoding="utf-8") != text:  # others may be reading it
        write_text(file, text)
    return file


def price_table(recipe: Recipe) -> PriceTable:
    """The shipped prices and, before them, the recipe's; raises ConfigError where those cannot be read."""
    given = recipe.prices
    table = PriceTable(Path(given)) if isinstance(given, str) else PriceTable(extra=given)
    table.person("expert_step")  # reads the tables
    return table


def _prices(directory: Path, recipe: Recipe) -> PriceTable:
    """The prices that the run went by: its own copy, where it has one."""
    copy = directory / PRICES
    return PriceTable(copy) if copy.is_file() else price_table(recipe)


def check_budget(recipe: Recipe, identities: Iterable[tuple[str, bool]], prices: PriceTable) -> None:
    """A budget needs prices: ConfigError names the models (identity, is it local) whose price is not known."""
    if recipe.budget is None:
        return
    unknown = sorted({name for name, local in identities if prices.tariff(name, local) is None})
    if unknown:
        raise ConfigError(
            f"budget={recipe.budget:g}, but no price is known for {', '.join(unknown)} (list of {prices.date}): "
            "give it with --prices FILE or the recipe key prices, or leave the budget out"
        )


def spending(directory: Path) -> dict[Account, Tally]:
    """What a run has asked and spent so far, by (stage, identity), over all sessions."""
    return Ledger(directory / LEDGER).totals()


def summary(directory: Path, recipe: Recipe, labels: int) -> dict[str, Any]:
    """Plain values for run.json and the report: per stage and model, in all, per label, and what others would cost.

    `usd` is what is known; `unknown` names models without a price, so that a sum is never taken for the whole.
    `all_rollout_usd` is k rollouts of every step at what a rollout cost here (null where none was paid for),
    `all_expert_usd` an expert on every step.
    """
    accounts = spending(directory)
    known = sum(tally.cost or 0.0 for tally in accounts.values())
    unknown = sorted({identity for (_, identity), tally in accounts.items() if tally.cost is None})
    return {
        "usd": round(known, 6),
        "usd_per_label": round(known / labels, 9) if labels and not unknown else None,
        "unknown": unknown,
        "all_rollout_usd": _all_rollout(accounts, recipe.rollout.k * labels),
        "all_expert_usd": round(_prices(directory, recipe).person("expert_step") * labels, 2),
        "accounts": [
            {"stage": stage, "model": identity, **tally.as_dict()}
            for (stage, identity), tally in sorted(accounts.items())
        ],
    }


def _all_rollout(accounts: Mapping[Account, Tally], rollouts: int) -> float | None:
    paid = [tally for (stage, _), tally in accounts.items() if stage == "rollout"]
    cost, answers = sum(tally.cost or 0.0 for tally in paid), sum(tally.completions for tally in paid)
    return round(cost / answers * rollouts, 6) if cost and answers else None


def said(accounts: Iterable[Tally]) -> str:
    """A sum in words: `$1.20`, `local`, `unknown`, `$1.20 + unknown`; `-` where nothing was asked."""
    tallies = list(accounts)
    if not tallies:
        return "-"
    known = sum(tally.cost or 0.0 for tally in tallies)
    unknown = any(tally.cost is None for tally in tallies)
    if unknown:
        return f"{money(known)} + unknown" if known else "unknown"
    return "local" if not known and all(tally.local for tally in tallies) else money(known)
