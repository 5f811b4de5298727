"""What `medprm train` does: the recipe's `train` section, on its run's dataset or on any file of labelled solutions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from medprm_hf.errors import ConfigError
from medprm_hf.recipe import load
from medprm_hf.training.data import read_rows
from medprm_hf.training.run import train

console = Console(soft_wrap=True)


def train_recipe(
    recipe: Path, out: Path | None = None, data: Path | None = None, settings: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Trains as the recipe says and prints what is known before and after; gives the report.

    `data` stands above train.data, and that above the recipe's own run (runs/NAME). The checkpoint goes to `out`, by
    default runs/NAME/prm.
    """
    loaded = load(recipe, settings)
    run = Path("runs") / loaded.name
    source = data or (Path(loaded.train.data) if loaded.train.data else run)
    if not source.exists():
        raise ConfigError(
            f"there is no {source}: build it first (medprm build {recipe}), or name a file with --data or train.data"
        )
    spec = replace(loaded.train, seed=loaded.train.seed + loaded.seed)
    folder = out or run / "prm"
    console.print(f"[bold]{loaded.name}[/bold]: {spec.form} form of {spec.model} on {source} → {folder}")
    report = train(spec, read_rows(source), folder, say=lambda line: console.print(f"  {line}", markup=False))
    console.print("\n".join(_lines(report, folder)), markup=False)
    return report


def _lines(report: dict[str, Any], folder: Path) -> list[str]:
    losses, figures = report["losses"], report["figures"]
    said = []
    if losses:
        said.append(f"loss {losses[0]:.3f} → {losses[-1]:.3f} in {report['seconds']:.0f} s")
    if figures["fitted"]:
        said.append(
            f"development: macro-F1 {figures['macro_f1_with_labels']:.3f} with its labels, "
            f"temperature {report['temperature']:g}, threshold {report['threshold']:g}"
        )
    return [*said, f"next: medprm score FILE --model {folder}"]
