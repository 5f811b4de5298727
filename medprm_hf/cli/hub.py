"""The words of the Hub: import, publish, contribute, review-pr."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_(
    source: Annotated[str | None, typer.Argument(help="Name of the source; all are listed if left out.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Table to write, .parquet or .jsonl; default SOURCE.parquet.")
    ] = None,
    settings: Annotated[
        list[str],
        typer.Option("--set", metavar="KEY=VALUE", help="Option of the source, such as path=copy/of/vqa-rad."),
    ] = [],  # noqa: B006
    limit: Annotated[int | None, typer.Option(min=1, help="Read only the first N rows.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a table that is there.")] = False,
) -> None:
    """Turn a published dataset, or a folder of your own, into a question table; says what is skipped and why.

    Without --set path=… it is read from the Hub, where the source is there. Skipped rows go to OUT's .skipped.jsonl;
    exit code 1 if none is left.
    Example: medprm import vqa_rad --set split=train --limit 200 --out questions.parquet
    """
    from medprm_hf.loading import scripts_folder
    from medprm_hf.runs.importing import import_words
    from medprm_hf.sources.commands import listing, options_of

    if source is None:
        return typer.echo("\n".join(listing(scripts_folder())))
    report = import_words(source, options_of(settings), out or Path(f"{source}.parquet"), limit, force)
    typer.echo("\n".join(report.lines()))
    raise typer.Exit(report.kept == 0)


def publish(
    source: Annotated[Path, typer.Argument(help="A run, a dataset's folder, a file of solutions, or a trained PRM.")],
    to: Annotated[str | None, typer.Option(help="Repo on the Hub, as in org/name; else only the folder.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and show; push nothing.")] = False,
    out: Annotated[Path | None, typer.Option(help="Where the folder is built; default SOURCE/published.")] = None,
    private: Annotated[bool, typer.Option("--private/--public", help="Of a repo that is new.")] = True,
    config: Annotated[
        list[str], typer.Option(help="Only these configs, with solutions and steps: benchmark, visualprm, …")
    ] = [],  # noqa: B006 - typer reads the default
    allow: Annotated[
        list[str], typer.Option(metavar="CHECK", help="Let warnings of a check through; never phi or licence.")
    ] = [],  # noqa: B006
    card: Annotated[Path | None, typer.Option(help="YAML of what people know: maintainer, contact, …")] = None,
    restricted: Annotated[
        str, typer.Option(help="Rows that may not be passed on: refuse all, ids only, or drop them.")
    ] = "refuse",
    identifiers: Annotated[str, typer.Option(help="Texts that may name a patient: refuse, mask or drop.")] = "refuse",
    cleared: Annotated[
        Path | None, typer.Option(help="Texts and SHA-256 of images that you looked at, one a line.")
    ] = None,
    benchmark: Annotated[
        str, typer.Option(help="Expert-verified solutions: verified, held-out, simulated or none.")
    ] = "verified",
    resplit: Annotated[bool, typer.Option(help="Split anew, whatever the rows say.")] = False,
    license: Annotated[str | None, typer.Option(help="Licence of rows that name none.")] = None,
    evaluation: Annotated[Path | None, typer.Option("--eval", help="A model's folder of `medprm eval`.")] = None,
    from_: Annotated[str | None, typer.Option("--from", help="Format id of a file; detected if left out.")] = None,
) -> None:
    """Put a dataset or model on the Hub: checked, with a card of its own figures, loadable with no code.

    Shows files, rows, bytes and every finding first; an identifier or a licence that forbids it is never let through.
    Example: medprm publish runs/demo --to org/medmm-prm --dry-run
    """
    from medprm_hf.publishing.commands import evaluation_of, policy_of, publish_words
    from medprm_hf.publishing.publish import Wish

    policy = policy_of(cleared, restricted=restricted, identifiers=identifiers, benchmark=benchmark, resplit=resplit,
                       license=license)  # fmt: skip
    wish = Wish(policy, tuple(allow), tuple(config), card, from_, private=private)
    measured = None
    if evaluation is not None:
        from medprm_hf.evaluation.card import results_yaml

        measured = evaluation_of(evaluation, results_yaml)
    raise typer.Exit(publish_words(source, to, dry_run, out, wish, typer.echo, measured))


def contribute(
    file: Annotated[Path, typer.Argument(help="Labels, solutions or questions: any file that `convert` reads.")],
    to: Annotated[str, typer.Option(help="Dataset on the Hub, as in org/name.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; send nothing.")] = False,
    note: Annotated[str, typer.Option(help="A word to who reviews it.")] = "",
    adjudicate: Annotated[
        bool, typer.Option("--adjudicate", help="Settle disagreements: for the dataset's adjudicators.")
    ] = False,
    from_: Annotated[str | None, typer.Option("--from", help="Format id of FILE; detected if left out.")] = None,
) -> None:
    """Offer labels, solutions or questions to a dataset on the Hub, as a pull request that is checked.

    Shows first what is new, what agrees and what contradicts; nobody's label is overwritten.
    Example: medprm contribute reviewed.jsonl --to org/medmm-prm --dry-run
    """
    from medprm_hf.publishing.commands import contribute_words

    raise typer.Exit(contribute_words(file, to, dry_run, adjudicate, note, from_, typer.echo))


def review_pr(
    to: Annotated[str, typer.Argument(metavar="ORG/NAME", help="Dataset on the Hub.")],
    number: Annotated[int, typer.Argument(min=1, help="Number of the pull request.")],
    merge: Annotated[bool, typer.Option("--merge", help="Merge it if it passes, and build the tables anew.")] = False,
    comment: Annotated[bool, typer.Option(help="Say pass or fail, with reasons, below it.")] = True,
) -> None:
    """Check a contribution's pull request; exit code 1 if it fails.

    What is merged is one contribution's own files, and labels that contradict others become disagreements.
    Example: medprm review-pr org/medmm-prm 3 --merge
    """
    from medprm_hf.publishing.commands import review_words

    raise typer.Exit(review_words(to, number, merge, comment, typer.echo))


def register(app: typer.Typer) -> None:
    """Adds these words to the command line."""
    app.command("import")(import_)
    app.command()(publish)
    app.command()(contribute)
    app.command("review-pr")(review_pr)
