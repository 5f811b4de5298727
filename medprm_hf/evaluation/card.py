"""The results block of a model card: the Hub's evaluation metadata (`model-index`), as YAML.

print(results_yaml(report))
# model-index: - name: prm …
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

TASK = "process-reward"


def results_yaml(report: Mapping[str, Any]) -> str:
    """The `model-index` block of one evaluation."""
    from huggingface_hub.repocard_data import EvalResult, eval_results_to_model_index
    from yaml import safe_dump

    data = report["data"]
    results = [
        EvalResult(
            task_type=TASK,
            task_name="Scoring steps of medical reasoning",
            dataset_type=data["id"],
            dataset_name=data["name"],
            metric_type=kind,
            metric_name=name,
            metric_value=round(value, 4),
            metric_args={"interval_95": [round(edge, 4) for edge in spread]} if spread else None,
        )
        for kind, name, value, spread in _metrics(report)
        if value is not None
    ]
    index = eval_results_to_model_index(_model(report["name"]), results) if results else []
    return str(safe_dump({"model-index": index}, sort_keys=False, allow_unicode=True))


def _model(name: str) -> str:
    """A path of this machine is nobody's business: a folder is named by its last part."""
    return Path(name).name if Path(name).exists() or name.startswith(("/", ".")) else name


def _metrics(report: Mapping[str, Any]) -> Iterator[tuple[str, str, float | None, Any]]:
    model = report["model"]
    steps = model["steps"]
    yield "f1", "Step macro-F1", steps["macro_f1"], steps["interval"]
    yield "f1", "Step macro-F1, mean of sources", steps["per_source"]["mean"], steps["per_source"]["interval"]
    yield "ece", "Expected calibration error", steps["ece"], steps["ece_interval"]
    yield "brier_score", "Brier score", steps["brier"], steps["brier_interval"]
    yield "cohen_kappa", "Cohen's kappa", steps["kappa"], steps["kappa_interval"]
    places = model["error_place"]
    if places and report["data"]["format"] == "processbench":
        yield "f1", "First-error F1 (ProcessBench)", places["f1"], places["interval"]
    if model["prmbench"]:
        yield (
            "prm_score",
            "PRMScore (PRMBench)",
            model["prmbench"]["overall"]["score"],
            model["prmbench"]["overall"]["interval"],
        )
    for entry in (model["responses"] or {}).get("curve", ()):
        if entry["n"] in (8, 64) and entry["method"].startswith("best_of_"):
            how = entry["method"].removeprefix("best_of_")
            yield "accuracy", f"Best-of-{entry['n']} by {how}", entry["value"], entry["interval"]
