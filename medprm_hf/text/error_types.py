"""Kinds of error that a judge may name: fourteen, in the three groups of MedPRMBench (arXiv 2604.17282).

MedPRMBench sorts fourteen kinds of medical reasoning errors into simplicity, soundness and sensitivity, after PRMBench
(arXiv 2501.03124). The names here are ours: those kinds of both that one step can show, and the misread image,
which neither text benchmark has. Other words are kept as they are: a data set may bring kinds of its own.

    >>> error_type("Missing prerequisite."), error_type("location"), error_type("none")
    ('missing_prerequisite', 'location', None)
"""

from __future__ import annotations

import re
from enum import StrEnum


class ErrorType(StrEnum):
    """What is wrong with a step."""

    REDUNDANCY = "redundancy"
    """Repeats what is known and takes the reasoning nowhere."""
    CIRCULAR_LOGIC = "circular_logic"
    """Takes for granted what it sets out to show."""
    FACTUAL_ERROR = "factual_error"
    """Contradicts medical knowledge."""
    STEP_CONTRADICTION = "step_contradiction"
    """Contradicts an earlier step."""
    INVALID_INFERENCE = "invalid_inference"
    """Does not follow from what stands before it."""
    CONTEXT_MISAPPLICATION = "context_misapplication"
    """True elsewhere, applied to the wrong patient, organ, age or setting."""
    EVIDENCE_MISUSE = "evidence_misuse"
    """Cites evidence that does not say so, or does not exist."""
    OVERCONFIDENCE = "overconfidence"
    """States as certain what is not known."""
    CALCULATION_ERROR = "calculation_error"
    """A wrong number, unit, dose or measurement."""
    IMAGE_MISREADING = "image_misreading"
    """Says of the image what it does not show."""
    MISSING_PREREQUISITE = "missing_prerequisite"
    """Leaves out a condition, contraindication or finding that it needs."""
    MISLED = "misled"
    """Falls for a misleading detail of the question."""
    OVERLOOKED_ALTERNATIVE = "overlooked_alternative"
    """Closes too early: leaves out a diagnosis or option that fits as well."""
    SAFETY_VIOLATION = "safety_violation"
    """Following it could harm the patient."""


GROUPS: dict[str, tuple[ErrorType, ...]] = {
    "simplicity": (ErrorType.REDUNDANCY, ErrorType.CIRCULAR_LOGIC),
    "soundness": (
        ErrorType.FACTUAL_ERROR, ErrorType.STEP_CONTRADICTION, ErrorType.INVALID_INFERENCE,
        ErrorType.CONTEXT_MISAPPLICATION, ErrorType.EVIDENCE_MISUSE, ErrorType.OVERCONFIDENCE,
        ErrorType.CALCULATION_ERROR, ErrorType.IMAGE_MISREADING,
    ),
    "sensitivity": (
        ErrorType.MISSING_PREREQUISITE, ErrorType.MISLED, ErrorType.OVERLOOKED_ALTERNATIVE,
        ErrorType.SAFETY_VIOLATION,
    ),
}  # fmt: skip
"""MedPRMBench's three groups."""
NO_ERROR = frozenset(("", "none", "null", "n/a", "na", "no error", "no_error"))


def error_type(said: object) -> str | None:
    """The kind that a judge names: ours where its words are one of them, else its own words; None for none."""
    if not isinstance(said, str) or said.strip().casefold() in NO_ERROR:
        return None
    word = re.sub(r"[\s_-]+", "_", said.strip(" .\t\r\n").casefold())
    return word if word in set(ErrorType) else said.strip()
