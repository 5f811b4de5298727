"""What `medprm review` does: makes or updates the review store of a run, and says how to open it and what comes next.

    medprm review runs/x                      runs/x/review.sqlite; open it with `medprm space runs/x --store …`
    medprm review runs/x --status             how far it is, how reviewers agree
    medprm review runs/x --sync org/decisions decisions to and from a dataset on the Hub

Decisions return by `medprm resume` where the recipe says `review.reviewer: store:PATH`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from medprm_hf import formats
from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.hub import HubRepo
from medprm_hf.review.agreement import agreement
from medprm_hf.review.folder_repo import FolderRepo
from medprm_hf.review.items import WAITING
from medprm_hf.review.progress import progress
from medprm_hf.review.settings import StoreSettings
from medprm_hf.review.store import ReviewStore
from medprm_hf.review.study import choose, study_store
from medprm_hf.review.sync import Sync
from medprm_hf.runs.finish import solution_rows
from medprm_hf.runs.pipeline import Run
from medprm_hf.schema import written_by

STORE = "review.sqlite"
"""Name of a run's store."""


@dataclass(frozen=True)
class ReviewOptions:
    """What `medprm review` is told; None leaves a setting of the store as it is."""

    store: Path | None = None
    """File of the store; default review.sqlite in the run."""
    reviewers: int | None = None
    """People who answer each step."""
    sample: float | None = None
    """Share of all steps asked for quality control."""
    blind: bool | None = None
    order: str | None = None
    study: int = 0
    """Raters of a rater study; 0 for none."""
    study_questions: int = 10
    study_traces: int = 3
    share: float | None = None
    """Largest share of all steps that is asked because of doubt; of a new store the recipe's."""


def review(source: Path, options: ReviewOptions) -> list[str]:
    """Makes or updates the store of a run (or of a dataset file); gives the lines to print."""
    run = Run.resume(source) if (source / "recipe.yaml").is_file() else None
    file = options.store or (source / STORE if source.is_dir() else source.with_suffix(".review.sqlite"))
    batch, table = source.name, _rows(source, run)
    if options.study:
        rows = choose(table, options.study_questions, options.study_traces)
        store = study_store(file, rows, options.study, batch)
        told = [f"rater study in {file}: {len(rows)} solutions, every step read blindly by {options.study} people"]
    else:
        store = ReviewStore(file, _settings(file, options, run))
        added = store.add(chain(_waiting(run) if run else (), table), batch=batch, complete=run is not None)
        told = [f"{file}: {added.new} new items, {added.changed} changed, {added.same} as they were"]
    try:
        return [*told, *_state(store), *_next(source, file, run)]
    finally:
        store.close()


def _rows(source: Path, run: Run | None) -> Iterator[dict[str, Any]]:
    """Solutions of a run, or of any file that formats/ can read."""
    if run is None or (not run.shard_count() and (source / "dataset").is_dir()):  # a copy without its shards
        return iter(formats.read(source))
    if not run.shard_count():
        raise StoreError(f"{source} holds no finished shards: `medprm resume {source}` first")
    return (row for row in solution_rows(run) if row.get("solution") is not None)


def _waiting(run: Run) -> Iterator[dict[str, Any]]:
    """Questions of the run that wait for a person: held back, or written by a model."""
    names = [str(stage.name) for stage in run.stages]
    if "questions" not in names:
        return
    upto = names.index("questions") + 1
    stage = run.stages[upto - 1]
    columns = tuple(dict.fromkeys((*written_by("sources"), *stage.writes)))
    for number in range(run.shard_count()):
        batch = run.table(number, columns, upto)
        for values in zip(*(batch[name] for name in columns), strict=True):
            row = dict(zip(columns, values, strict=True))
            if row["question_status"] in WAITING:
                yield row


def _settings(file: Path, options: ReviewOptions, run: Run | None) -> StoreSettings | None:
    """Settings of a new store by the recipe, of one that is there by what it has; with what is asked for."""
    if file.exists():
        known = ReviewStore(file)
        settings = known.settings
        known.close()
    else:
        settings = _by_recipe(run) if run else StoreSettings()
    given: dict[str, Any] = {
        "reviewers_per_item": options.reviewers, "sample": options.sample, "blind": options.blind,
        "order": options.order, "share": options.share,
    }  # fmt: skip
    if options.reviewers is not None and options.reviewers < 1:
        raise ConfigError(f"--reviewers {options.reviewers}: each step needs one person or more")
    return replace(settings, **{name: value for name, value in given.items() if value is not None})


def _by_recipe(run: Run) -> StoreSettings:
    """Order, share and sample of the recipe."""
    review, calibrate = run.recipe.review, run.recipe.calibrate
    sample = calibrate.share
    if calibrate.solutions is not None:
        sample = min(1.0, calibrate.solutions / max(1, sum(1 for _ in _rows(run.directory, run))))
    return StoreSettings(order=review.order, share=review.share, sample=sample, seed=review.seed)


def _state(store: ReviewStore) -> list[str]:
    counted = progress(store, "")
    settings = store.settings
    return [
        f"steps asked: {counted['open'] + counted['done']}, done {counted['done']}, open {counted['open']} "
        f"in {counted['open_items']} items; {settings.reviewers_per_item} reviewer(s) a step, "
        f"{'blind' if settings.blind else 'signals shown'}, order {settings.order}, sample {settings.sample:.0%}"
    ]


def _next(source: Path, file: Path, run: Run | None) -> list[str]:
    """What to do now."""
    lines = [f"open it:  medprm space {source} --store {file}"]
    if run is not None:
        wanted = f"store:{file}"
        if run.recipe.review.reviewer == wanted:
            lines.append(f"decisions come into the run with:  medprm resume {source}")
        else:
            again = f"medprm build {source / 'recipe.yaml'} --out {source} --set review.reviewer={wanted}"
            lines.append(f"decisions come into the run with:  {again}")
            lines.append(f"  and --set calibrate.reviewer={wanted}, so that merge learns from the blind sample")
    return lines


def status(file: Path) -> list[str]:
    """How far a store is, and how its reviewers agree."""
    if not file.is_file():
        raise StoreError(f"there is no review store at {file}: make it with `medprm review RUN`")
    store = ReviewStore(file)
    try:
        told = agreement(store, "reviewer", blind=store.settings.blind)
        lines = _state(store)
        for name, figures in progress(store, "")["by_reviewer"].items():
            pace = f", {figures['seconds_per_step']:g} s a step" if figures["seconds_per_step"] else ""
            lines.append(
                f"  {name}: {figures['steps']} steps{pace}; kappa with the others {_figure(told['by'].get(name))}"
            )
        lines.append(f"agreement: alpha {_figure(told['krippendorff'])}, Fleiss' kappa {_figure(told['fleiss'])}")
        lines += [f"  {name} and experts (sample): kappa {_figure(one)}" for name, one in told["machines"].items()]
        return [*lines, *(f"revise: {one['text']}" for one in told["revise"]["proposals"])]
    finally:
        store.close()


def _figure(one: dict[str, Any] | None) -> str:
    if not one or one["value"] is None:
        return f"unknown (n={one['n'] if one else 0})"
    interval = f" [{one['low']:.2f}, {one['high']:.2f}]" if one["low"] is not None else ""
    return f"{one['value']:.2f}{interval} (n={one['n']})"


def sync(file: Path, repo: str) -> list[str]:
    """Decisions to and from a dataset on the Hub (`org/name`), or a folder that exists; fills an empty store."""
    store = ReviewStore(file)
    try:
        where = FolderRepo(Path(repo)) if Path(repo).is_dir() else _hub(repo)
        came, went = Sync(store, where).both()
        broken = f"; {came.broken} lines were no decisions (see the log)" if came.broken else ""
        return [f"{repo}: {came.decisions} decisions and {came.items} items came, {went} decisions went{broken}"]
    finally:
        store.close()


def _hub(name: str) -> HubRepo:
    """The dataset, made private where it does not exist."""
    repo = HubRepo(name)
    repo.create(private=True)
    return repo
