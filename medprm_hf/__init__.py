"""medprm-hf: trustworthy step labels and process reward models for medical reasoning with images.

    from datasets import load_dataset
    from medprm_hf import Rollout
    labelled = solutions.map(Rollout(backend="openai:Qwen/…?base_url=…", k=16), batched=True, batch_size=64)

Names are imported when they are used, so that `import medprm_hf` is quick. Not for clinical use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from medprm_hf.errors import MedPRMError
    from medprm_hf.formats import read, write
    from medprm_hf.recipe import Recipe
    from medprm_hf.runs.commands import build_run
    from medprm_hf.runs.notebook import pipeline
    from medprm_hf.schema import COLUMNS, Label
    from medprm_hf.scoring.scorer import Scorer
    from medprm_hf.stages.generate import Generate
    from medprm_hf.stages.judge import Judge
    from medprm_hf.stages.merge import Merge
    from medprm_hf.stages.questions import Questions
    from medprm_hf.stages.review import Review
    from medprm_hf.stages.rollout import Rollout
    from medprm_hf.stages.select import Select

__version__ = "0.1.0"

_PUBLIC = {
    "COLUMNS": "schema",
    "Generate": "stages.generate",
    "Judge": "stages.judge",
    "Label": "schema",
    "MedPRMError": "errors",
    "Merge": "stages.merge",
    "Questions": "stages.questions",
    "Recipe": "recipe",
    "Review": "stages.review",
    "Rollout": "stages.rollout",
    "Scorer": "scoring.scorer",
    "Select": "stages.select",
    "build_run": "runs.commands",
    "pipeline": "runs.notebook",
    "read": "formats",
    "write": "formats",
}

__all__ = [
    "COLUMNS",
    "Generate",
    "Judge",
    "Label",
    "MedPRMError",
    "Merge",
    "Questions",
    "Recipe",
    "Review",
    "Rollout",
    "Scorer",
    "Select",
    "build_run",
    "pipeline",
    "read",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"medprm_hf has no {name!r}; there is: {', '.join(__all__)}")
    return getattr(import_module(f"medprm_hf.{_PUBLIC[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
