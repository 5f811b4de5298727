"""What `medprm publish`, `contribute` and `review-pr` do, as plain functions for the command line.

publish_words(Path("runs/demo"), to="org/medmm-prm", dry_run=True)     prints; gives the exit code
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.hub import HubRepo
from medprm_hf.publishing.contribute import contribute
from medprm_hf.publishing.findings import refusing
from medprm_hf.publishing.models import Evaluation, is_model, publish_model, read_report
from medprm_hf.publishing.policy import Policy
from medprm_hf.publishing.privacy import read_cleared
from medprm_hf.publishing.publish import Outcome, Wish, publish
from medprm_hf.publishing.reviewing import review_pull_request

Say = Callable[[str], Any]
_CHOICES = {
    "restricted": ("refuse", "ids", "drop"),
    "identifiers": ("refuse", "mask", "drop"),
    "benchmark": ("verified", "held-out", "simulated", "none"),
}


def policy_of(cleared: Path | None = None, **settings: Any) -> Policy:
    """A policy from the words of the command line; ConfigError for a value that it does not know."""
    for name, choices in _CHOICES.items():
        if settings.get(name) not in (None, *choices):
            raise ConfigError(f"--{name} is {settings[name]!r}; it is one of {', '.join(choices)}")
    given = {name: value for name, value in settings.items() if value is not None}
    return Policy(cleared=read_cleared(cleared), **given)


def publish_words(
    source: Path, to: str | None, dry_run: bool, out: Path | None, wish: Wish, say: Say,
    evaluation: Evaluation | None = None,
) -> int:  # fmt: skip
    """Publishes data or a model; exit code 1 where a dry run found what forbids it."""
    repo = None if to is None else HubRepo(to, kind="model" if is_model(source) else "dataset")
    refusing((), wish.allow)  # a wrong name is told before minutes of checks
    if repo is None and out is None and not dry_run:
        out = source / "published" if source.is_dir() else source.with_name(f"{source.name.split('.')[0]}-published")

    def tell(outcome: Outcome) -> None:
        say("\n".join(outcome.lines()))

    if is_model(source):
        outcome = publish_model(source, repo, evaluation=evaluation, dry_run=dry_run, out=out, wish=wish, tell=tell)
    else:
        outcome = publish(source, repo, dry_run=dry_run, out=out, wish=wish, tell=tell,
                          watch=lambda rows: say(f"  … {rows:,} rows"))  # fmt: skip
    if outcome.commit:
        say(outcome.lines()[-1])
    if out is not None and outcome.published is not None and not is_model(source):
        say(f"the folder: {out}  (load_dataset({str(out)!r}) reads it as the Hub will)")
    return int(dry_run and bool(outcome.refusing))


def evaluation_of(file: Path, results_yaml: Callable[[Any], str]) -> Evaluation:
    """What `medprm eval` measured; `results_yaml` makes the Hub's block of it (evaluation/card.py, a floor above)."""
    try:
        report = read_report(file)
        return Evaluation(report, results_yaml(report))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"--eval {file} is no report of `medprm eval` ({type(error).__name__}): {error}") from None


def contribute_words(
    file: Path, to: str, dry_run: bool, adjudicate: bool, note: str, format: str | None, say: Say
) -> int:
    """Shows what a file would change and opens a pull request; exit code 1 where a dry run found what forbids it."""
    draft, commit = contribute(
        file, HubRepo(to), dry_run=dry_run, adjudicate=adjudicate, note=note, format=format,
        tell=lambda shown: say("\n".join([f"{file} to {to}:", *(f"  {line}" for line in shown.lines())])),
    )  # fmt: skip
    if commit is not None:
        say(f"pull request #{commit.pull_request} is open: {commit.url}")
    else:
        say("nothing was sent")
    return int(bool(refusing(draft.findings)))


def review_words(to: str, number: int, merge: bool, comment: bool, say: Say) -> int:
    """Checks a pull request; exit code 1 where it fails."""
    verdict = review_pull_request(
        HubRepo(to), number, merge=merge, comment=comment, tell=lambda shown: say("\n".join(shown.lines()))
    )
    if verdict.merged:
        say(f"pull request #{number} is merged, and the tables of {to} are built anew")
    elif merge:
        say(f"pull request #{number} is not merged: it failed")
    return int(not verdict.passed)
