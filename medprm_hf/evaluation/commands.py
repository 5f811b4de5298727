"""What `medprm eval` does: reads, checks, scores where that is needed, measures, writes and prints.

evaluate_file(EvalRequest(Path("gsm8k.json"), model="runs/demo/prm", out=Path("runs/eval")))   ->  the report
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from rich.console import Console
from rich.markup import escape
from rich.table import Table as Printed

import medprm_hf
from medprm_hf.errors import ConfigError
from medprm_hf.evaluation import scores as score_files
from medprm_hf.evaluation.checks import refuse_seen, seen_places
from medprm_hf.evaluation.core import EvalSettings, evaluate
from medprm_hf.evaluation.fitting import Fit
from medprm_hf.evaluation.report import best_table, figure, spread, write
from medprm_hf.evaluation.responses import at
from medprm_hf.evaluation.scores import Loaded, ScoreRows
from medprm_hf.evaluation.suites import load_suite
from medprm_hf.evaluation.table import Truth
from medprm_hf.registry import near
from medprm_hf.scoring.settings import SEEN_FILE, Seen, load_seen

console = Console(soft_wrap=True)
ABLATIONS = ("image", "evidence", "labels")
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class EvalRequest:
    """One call of `medprm eval`."""

    data: Path
    model: str | None = None
    development: Path | None = None
    out: Path | None = None
    scores: Path | None = None
    development_scores: Path | None = None
    format: str | None = None
    suite: str | None = None
    beside: Mapping[str, Path] = field(default_factory=dict)
    """Scores of others, by name: of an outcome model, of another PRM."""
    ablate: tuple[str, ...] = ()
    skip_seen: bool = False
    limit: int | None = None
    device: str | None = None
    settings: EvalSettings = EvalSettings()


def request_of(
    *,
    beside: Sequence[str] = (),
    ablate: str = "",
    truth: str = "final",
    threshold: float | None = None,
    seed: int = 0,
    force: bool = False,
    **plain: Any,
) -> EvalRequest:
    """A request from the words of the command line; ConfigError with the way out for those that cannot work."""
    named = dict(pair.partition("=")[::2] for pair in beside)
    if any(not name or not file for name, file in named.items()):
        raise ConfigError(f"--beside {' '.join(beside)}: write NAME=FILE, e.g. outcome=outcome.scores.jsonl")
    wanted = tuple(name.strip() for name in ablate.split(",") if name.strip())
    for name in wanted:
        if name not in ABLATIONS:
            raise ConfigError(f"--ablate {name}{near(name, ABLATIONS)}")
    if truth not in get_args(Truth):
        raise ConfigError(f"--truth {truth}{near(truth, get_args(Truth))}")
    settings = EvalSettings(truth=cast(Truth, truth), threshold=threshold, seed=seed, force=force)
    files = {name: Path(file) for name, file in named.items()}
    return EvalRequest(**plain, beside=files, ablate=wanted, settings=settings)


def evaluate_file(
    request: EvalRequest, score_rows: ScoreRows | None = None, more: Callable[[Rows], dict[str, Rows]] | None = None
) -> dict[str, Any]:
    """Carries a request out and writes its files; gives the report.

    `score_rows` stands in for the model. `more` gives further sets of scores of the rows (test, then development).
    """
    loaded = _load(request, request.data)
    development = _load(request, request.development) if request.development else None
    seen = _seen(request) if score_rows is None else None
    notes = _refusals(request, loaded, seen) + (_refusals(request, development, seen) if development else [])
    scorer, start = _opened(request) if score_rows is None else (score_rows, None)
    test = _scores(loaded.rows, request.scores, scorer, request)
    fitting = _scores(development.rows, request.development_scores, scorer, request) if development else []
    everything = [*test, *fitting]
    beside = {
        label: score_files.joined(everything, score_files.read_scores(file)) for label, file in request.beside.items()
    }
    taken = _ablated(request, everything, scorer)
    report = evaluate(
        test,
        fitting if development else None,
        name=request.model or (request.scores.stem if request.scores else "scores in the file"),
        settings=request.settings,
        beside={**beside, **(more(everything) if more else {}), **taken},
        start=start,
    )
    shown = [everything[place] for place in report.pop("test_places")]
    report |= {
        "looking": {
            label: {**report["over"].pop(label), "mean_change": score_files.mean_change(everything, own)}
            for label, own in taken.items()
        },
        "data": _data(request, loaded),
        "notes": [*dict.fromkeys(notes), *_notes(loaded, report)],
        "problems": [str(problem) for problem in loaded.problems],
        "version": medprm_hf.__version__,
    }
    target = folder_of(request)
    write(report, shown, target)
    _print(report, target)
    return report


def folder_of(request: EvalRequest) -> Path:
    """Where the report goes."""
    return request.out or Path("runs") / "eval" / request.data.stem


def _data(request: EvalRequest, loaded: Loaded) -> dict[str, str]:
    return {
        "name": request.suite or request.data.stem,
        "id": request.suite or loaded.format,
        "format": loaded.format,
        "truth": request.settings.truth,
    }


def _load(request: EvalRequest, path: Path) -> Loaded:
    if request.suite:
        return load_suite(path, request.suite, request.limit)
    return score_files.load(path, request.format, request.limit)


def _seen(request: EvalRequest) -> Seen | None:
    """What the model says it was trained on; None without a model, and where it says nothing."""
    if request.model is None or _is_server(request.model):
        return None
    from medprm_hf.scoring.checkpoints import local_folder

    return load_seen(local_folder(request.model))


def _is_server(model: str) -> bool:
    return ":" in model and not model.startswith("phantom:") and not Path(model).exists()


def _opened(request: EvalRequest) -> tuple[ScoreRows | None, Fit | None]:
    """(what scores rows, the model's own threshold)."""
    again = {"image", "evidence"} & set(request.ablate)
    if request.model is None:
        if again:
            raise ConfigError(f"--ablate {','.join(sorted(again))} scores the rows again: it needs --model")
        return None, None
    from medprm_hf.scoring.scorer import Scorer

    scorer = Scorer.open(request.model, request.device)
    cut = scorer.settings.threshold
    return scorer.score_rows, Fit(cut, error_threshold=cut)


def _refusals(request: EvalRequest, loaded: Loaded, seen: Seen | None) -> list[str]:
    """Refuses rows of the training, or leaves them out; gives what the report must say."""
    if seen is None:
        return [f"What {request.model} was trained on is not known (no {SEEN_FILE})."] if request.model else []
    places = set(seen_places(loaded.rows, seen))
    if not places:
        return []
    if request.skip_seen and len(places) < len(loaded.rows):
        loaded.rows = [row for place, row in enumerate(loaded.rows) if place not in places]
        return [f"{len(places)} solutions whose question or image was in training were left out."]
    if not request.settings.force:
        refuse_seen(loaded.rows, seen, str(request.model))
    return [f"{len(places)} solutions were in training (--force): the figures say nothing about new questions."]


def _scores(rows: Rows, file: Path | None, scorer: ScoreRows | None, request: EvalRequest) -> Rows:
    """The rows with scores: from a file, from themselves, or from the model."""
    if file is not None:
        return score_files.joined(rows, score_files.read_scores(file))
    if scorer is not None:
        with console.status(f"scoring {len(rows)} solutions"):
            return score_files.scored(rows, scorer)
    if request.scores is not None:  # one file may hold the scores of both parts
        return score_files.joined(rows, score_files.read_scores(request.scores))
    return rows


def _ablated(request: EvalRequest, rows: Rows, scorer: ScoreRows | None) -> dict[str, Rows]:
    what = [name for name in request.ablate if name != "labels"]
    if not what or scorer is None:
        return {}
    found = {}
    for label, changed in score_files.ablations(rows, what, request.settings.seed).items():
        with console.status(f"scoring again: {label}"):
            again = score_files.scored(changed, scorer)
        # Figures are of the same solutions: only the scores are the others'.
        own = ("step_scores", "step_expectations", "step_reasons")
        found[label] = [
            {**row, **{name: other.get(name) for name in own}} for row, other in zip(rows, again, strict=True)
        ]
    return found


def _notes(loaded: Loaded, report: Mapping[str, Any]) -> list[str]:
    said = [] if report["development"]["from"] == "given" else [f"Development: {report['development']['from']}."]
    if any(row.get("source") == "phantom" for row in loaded.rows[:1]):
        said.append("Questions and images are simulated (phantom world).")
    refused = sum(not problem.kept for problem in loaded.problems)
    if refused:
        said.append(f"{refused} rows of the file could not be used and are listed below.")
    return said


# --- what is printed -----------------------------------------------------------------------------------------


def _print(report: Mapping[str, Any], target: Path) -> None:
    for note in report["notes"]:
        console.print(f"  {note}", markup=False, highlight=False)
    for problem in report["problems"][:10]:
        console.print(f"  {problem}", markup=False, highlight=False)
    if len(report["problems"]) > 10:
        console.print(f"  … and {len(report['problems']) - 10} more problems", highlight=False)
    console.print(_steps_table(report))
    console.print(_threshold_line(report["development"]), markup=False, highlight=False)
    places = report["model"]["error_place"]
    if places and places["f1"] is not None:
        console.print(
            f"first-error F1 {figure(places['f1'])} ({spread(places['interval'])}): {figure(places['with_error'])} of "
            f"solutions with an error, {figure(places['without_error'])} of those without",
            highlight=False,
        )
    if report["model"]["prmbench"]:
        overall = report["model"]["prmbench"]["overall"]
        console.print(f"PRMScore {figure(overall['score'])} ({spread(overall['interval'])})", highlight=False)
    _print_best(report)
    files = "evaluation.json, evaluation.html, results.yaml"
    console.print(f"[bold]{escape(str(target))}[/bold]: {files}", highlight=False)


def _threshold_line(development: Mapping[str, Any]) -> str:
    how = "fixed on development data" if development["fitted"] else "not fitted"
    note = f": {development['note']}" if development.get("note") else ""
    return f"threshold {figure(development['threshold'])}, {how}{note}"


def _steps_table(report: Mapping[str, Any]) -> Printed:
    table = Printed(title=f"{report['counts']['steps']} steps of {escape(report['data']['name'])}")
    for heading in ("scores", "macro-F1", "95 % interval", "F1 of +", "F1 of -", "ECE", "Brier"):
        table.add_column(heading, justify="left" if heading == "scores" else "right", no_wrap=heading != "scores")
    for name, one in ((report["name"], report["model"]), *report["beside"].items()):
        own = one["steps"]
        values = (own[key] for key in ("f1_right", "f1_wrong", "ece", "brier"))
        low_high = "" if own["interval"] is None else "{:.2f} to {:.2f}".format(*own["interval"])
        table.add_row(escape(name), figure(own["macro_f1"]), low_high, *map(figure, values))
    return table


def _print_best(report: Mapping[str, Any]) -> None:
    best = best_table(report)
    if best is None:
        return
    most = best["sizes"][-1]
    said = [
        f"{entry['method']} {figure(entry['value'])}"
        for row in best["rows"]
        if (entry := at(report["model"]["responses"], row["method"], most)) is not None
    ]
    console.print(f"N = {most}: {', '.join(said)}", highlight=False)
