"""What `medprm score` and `medprm serve` do."""

from __future__ import annotations

import time
from pathlib import Path

from medprm_hf.errors import ConfigError
from medprm_hf.scoring.files import score_file, summary


def score(
    file: Path,
    model: str,
    out: Path | None = None,
    *,
    format: str | None = None,
    settings: Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
    batch_tokens: int | None = None,
    fresh: bool = False,
    limit: int | None = None,
) -> list[str]:
    """Scores a file with a progress line; gives the lines of its report."""
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn

    from medprm_hf.scoring.scorer import Scorer

    if not file.exists():
        raise ConfigError(f"there is no {file}: name a file, a dataset's folder or a run")
    target = out or default_out(file)
    scorer = Scorer.open(model, device, dtype, settings)
    begun, done, first = time.monotonic(), 0, None
    console = Console(stderr=True)
    with Progress(SpinnerColumn(), TextColumn("{task.description}"), console=console, transient=True) as progress:
        task = progress.add_task("scoring")
        options = {"format": format, "batch_tokens": batch_tokens, "fresh": fresh, "limit": limit}
        for done in score_file(file, target, scorer, **options):  # type: ignore[arg-type]
            first = done if first is None else first
            rate = (done - first) / max(time.monotonic() - begun, 1e-9)
            progress.update(task, description=f"{done} solutions scored, {rate:.1f} a second")
    scorer.close()
    return _report(target, done)


def default_out(file: Path) -> Path:
    """Where scores go when nothing is said: beside the file, or inside the run."""
    return file / "scores.jsonl" if file.is_dir() else file.with_name(f"{file.stem}.scores.jsonl")


def _report(target: Path, done: int) -> list[str]:
    if target.suffix == ".parquet":
        return [f"{done} solutions scored; the table with step_scores is {target}"]
    found = summary(target)
    lines = [f"{found['solutions']} solutions, {found['known']} of {found['steps']} steps scored"]
    if found["mean"] is not None:
        lines[0] += f", mean {found['mean']:.3f}"
    if found["unknown"]:
        said = ", ".join(f"{count} {reason}" for reason, count in sorted(found["unknown"].items()))
        lines.append(f"unknown: {said}")
    return [*lines, f"scores: {target}"]


def serve(
    model: str,
    host: str = "127.0.0.1",
    port: int = 8080,
    *,
    settings: Path | None = None,
    device: str | None = None,
    dtype: str | None = None,
) -> None:
    """Answers scoring requests over HTTP until it is stopped."""
    from medprm_hf.scoring.scorer import Scorer
    from medprm_hf.scoring.service import run

    run(Scorer.open(model, device, dtype, settings), host, port)
