"""What a modality belongs to: radiology, pathology or clinical photographs.

>>> domain_of("chest_xray"), domain_of("H&E slide"), domain_of("text")
('radiology', 'pathology', None)
"""

from __future__ import annotations

import re

DOMAINS = ("radiology", "pathology", "clinical")
_WORDS = {
    "radiology": r"x[- ]?ray|radiograph|radiolog|ct\b|mri?\b|ultraso|mammo|angio|pet\b|cxr|us\b|phantom",
    "pathology": r"patho|histo|cytolog|smear|microscop|h&e|biops|slide",
    "clinical": r"clinic|photo|derm|fundus|retina|endoscop|skin|oct\b|wound",
}


def domain_of(modality: str | None) -> str | None:
    """radiology, pathology or clinical, by the words of the modality; None where none fits (text, unknown)."""
    said = (modality or "").casefold().replace("_", " ")
    return next((domain for domain, words in _WORDS.items() if re.search(rf"\b(?:{words})", said)), None)
