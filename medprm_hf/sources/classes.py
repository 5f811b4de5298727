"""Questions from class labels: the image's class among others, or no question at all (a model may write one).

    ask_class("ham10000-ISIC_1", "What is this skin lesion?", "melanoma", CLASSES, options=4)
    →  {"question": …, "options": ["melanoma", "dermatofibroma", …], "answer": "melanoma", "answer_index": 0}

Which other classes stand beside the right one, and in which order, follows from the row's name alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from medprm_hf.errors import ConfigError
from medprm_hf.ids import content_hash
from medprm_hf.registry import near
from medprm_hf.sources.rows import choice

Ask = Literal["label", "none"]
ASKS = ("label", "none")


def ask_rows(ask: str) -> bool:
    """Whether rows get a question from their class label (ask: label) or none (ask: none); else ConfigError."""
    if ask not in ASKS:
        raise ConfigError(f"ask: {ask!r}{near(ask, ASKS)}")
    return ask == "label"


def ask_class(
    name: str,
    question: str,
    label: str | None,
    classes: Sequence[str],
    *,
    options: int | None = None,
    ask: str = "label",
) -> dict[str, Any]:
    """The columns question, options, answer, answer_index; empty with `ask: none`.

    `options`: how many are shown, the right one among them; null shows all classes in their order. A label that is
    no class stays as an answer that fits no option, and no label at all leaves the row without a question.
    """
    if not ask_rows(ask) or label is None:
        return {"question": None, "options": []}
    shown = list(classes)
    if options is not None and options < len(shown):
        others = sorted((one for one in shown if one != label), key=lambda one: content_hash(name, one))
        known = [label] if label in shown else others[options - 1 : options]
        shown = sorted([*others[: options - 1], *known], key=lambda one: content_hash(name, "order", one))
    return {"question": question, **choice(shown, answer=label)}
