"""The 17 real figures of ../shared/data/openstax_ap1e as questions, and what must never be sent of them.

Captions and alt texts are the source of the answers written here; no request may hold eight words of one in a row.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[2] / "shared" / "data" / "openstax_ap1e"
CORPUS = {"path": str(DATA / "corpus_passages.jsonl"), "license": "CC-BY-3.0", "source": "OpenStax A&P 1e"}

ANSWERS = {
    "01_16_X-ray_of_Hand": "a plain film of a hand",
    "414_Skeletal_Smooth_Cardiac": "three kinds of muscle tissue",
    "502ab_Thin_Skin_versus_Thick_Skin": "thin beside thick skin",
    "506_Layers_of_the_Dermis": "papillary and reticular dermis",
    "511_Hair_Follicle": "a hair follicle, cut across",
    "520_Eczema": "eczema",
    "0319_Multinucleate_Muscle_Tissue_Micrograph": "skeletal muscle fibres",
    "814_Radiograph_of_Hand": "carpal bones and phalanges",
    "2707_Edema_of_Right_Hand_Due_to_Allergic_Reaction": "allergic oedema of a hand",
    "2229_Autoimmune_Disorders_Rheumatoid_Arthritis_and_Lupus": "rheumatoid arthritis",
    "2231_Kaposis_Sacroma_Lesions": "Kaposi sarcoma",
    "1513_Mydriasis": "mydriasis",
    "2107_Varicose_Vein": "varicose veins",
    "2113ab_Atherosclerosis": "atherosclerosis",
    "2016_Occluded_Coronay_Arteries": "occluded coronary arteries",
    "1916_Leukocyte_Key": "five kinds of leukocyte",
    "1911_Sickle_Cells": "sickle cells",
}
"""What each figure shows, in words of our own after its caption."""
WINDOW = 8
"""Words in a row that count as a quotation."""


def figures() -> list[dict[str, Any]]:
    """The manifest's entries, in their order."""
    lines = (DATA / "figures_dev.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def name_of(figure: dict[str, Any]) -> str:
    """The figure's name without the collection's."""
    return str(figure["id"]).removeprefix("ap1e_")


def questions(file: Path) -> list[dict[str, Any]]:
    """Writes a table with one question a figure (four options, answer by its letter); gives its rows."""
    found, rows = figures(), []
    names = [name_of(figure) for figure in found]
    for i, figure in enumerate(found):
        options = [ANSWERS[names[(i + shift) % len(names)]] for shift in (0, 3, 7, 11)]
        options = options[-(i % 4) :] + options[: -(i % 4)]
        rows.append(
            {
                "question_id": names[i], "image": str(DATA / figure["file"]), "question": "What does this image show?",
                "options": options, "answer": "ABCD"[options.index(ANSWERS[names[i]])], "modality": figure["group"],
                "difficulty": ("easy", "medium", "hard")[i % 3], "source": "OpenStax A&P 1e", "license": "CC-BY-3.0",
            }
        )  # fmt: skip
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return rows


def leaks(sent: str) -> list[str]:
    """Figures of whose caption or alt text a request holds eight words in a row."""
    there = f" {_words(sent)} "
    return [name_of(figure) for figure in figures() if any(f" {part} " in there for part in _parts(figure))]


def _parts(figure: dict[str, Any]) -> list[str]:
    found = []
    for text in (figure["caption"], figure["alt"]):
        words = _words(text).split()
        found += [" ".join(words[i : i + WINDOW]) for i in range(max(1, len(words) - WINDOW + 1))]
    return [part for part in found if part]


def _words(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9]+", text.casefold()))
