"""AgentClinic: consultations with a simulated patient, from MedQA, MIMIC-IV and NEJM pictures (Schmidgall 2024).

Licence: MIT
Redistribution: yes, with the licence's text; the NEJM pictures are not the authors' to give, and MIMIC-IV cases need
    PhysioNet's agreement
Needs: the authors' JSONL files (agentclinic_medqa.jsonl, agentclinic_nejm.jsonl, …); for NEJM a folder with the
    pictures, named as in their address (IC20240111.jpg)
Columns: OSCE_Examination (Objective_for_Doctor, Patient_Actor, Physical_Examination_Findings, Test_Results,
    Correct_Diagnosis); of NEJM question, image_url, patient_info, physical_exams, answers
Checked: the authors' files (SamuelSchmidgall/AgentClinic: medqa, medqa_extended, nejm, nejm_extended)

A case becomes a consultation: the earlier turns stand in `turns` (the model is the doctor), the last one asks for the
diagnosis. NEJM cases have options and a picture; without the picture the row is left out with that reason. The
extended files hold the cases of the others too: name one file, or let the questions stage drop what comes twice.

    python loading_scripts/agentclinic.py --path agentclinic_medqa.jsonl --limit 3
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.sources import Pictures, Record, choice, closed, records, run_script, text

LICENSE = "MIT"
QUESTION = "What is the most likely diagnosis?"
HISTORY = "Have you been ill before? Please tell me about your life, and whether anything else is wrong."
EXAMINE = "I would like to examine you, and to see the results of the tests."
_ENDINGS = ("", ".jpg", ".jpeg", ".png")


def rows(path: str, images: str | None = None, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Question rows of one file, or of all agentclinic_*.jsonl of a folder."""
    place = Path(path)
    pictures = Pictures([Path(images)] if images else [place / "images", place.parent / "images"])
    for record in islice(records(path, tables=("agentclinic",)), limit):
        name = f"{Path(record.where).stem}-{record.number:04d}"
        told = _osce(record) if "OSCE_Examination" in record.value else _nejm(record, pictures)
        mimic = "mimic" in name
        yield {
            "question_id": name,
            **told,
            "group": name,
            "source": "agentclinic_mimic" if mimic else "agentclinic",
            "license": "PhysioNet Credentialed Health Data License" if mimic else LICENSE,
        }


def _osce(record: Record) -> dict[str, Any]:
    """A case as a consultation of three exchanges: complaint, history, findings."""
    case = record["OSCE_Examination"] or {}
    patient = case.get("Patient_Actor") or {}
    complaint = _listed({key: patient.get(key) for key in ("Demographics", "History", "Symptoms")})
    past = ("Past_Medical_History", "Social_History", "Review_of_Systems")
    findings = {"Examination": case.get("Physical_Examination_Findings"), "Tests": case.get("Test_Results")}
    turns = [
        ("user", complaint),
        ("assistant", HISTORY),
        ("user", _listed({key: patient.get(key) for key in past})),
        ("assistant", EXAMINE),
        ("user", _listed(findings)),
    ]
    return {
        "turns": [{"role": role, "text": said or "Nothing to report."} for role, said in turns],
        "question": QUESTION,
        **closed(case.get("Correct_Diagnosis"), yes_no=False),
        "modality": "text",
    }


def _nejm(record: Record, pictures: Pictures) -> dict[str, Any]:
    if "answers" not in record.value or "question" not in record.value:
        raise DataError(f"{record.where}: record {record.number} is neither an OSCE case nor one of NEJM")
    answers = [one for one in record["answers"] or [] if isinstance(one, dict)]
    right = [place for place, one in enumerate(answers) if one.get("correct")]
    return {
        "image": _picture(text(record["image_url"]), pictures),
        "question": text(record["question"]),
        **choice([one.get("text") for one in answers], index=right[0] if len(right) == 1 else None),
        "modality": "clinical photograph",
    }


def _picture(address: str, pictures: Pictures) -> Any:
    """The picture of `…?id=IC20240111&…` in the folder given; nothing is fetched."""
    found = re.search(r"id=(\w+)", address)
    name = found[1] if found else address.rsplit("/", 1)[-1]
    return next((cell for ending in _ENDINGS if (cell := pictures.find(name + ending))), pictures.cell(name))


def _listed(value: Any) -> str:
    """Nested findings as text, `Vital Signs: Temperature: 36.6 °C; …`, a line for each at the top."""
    if not isinstance(value, dict):
        return _inline(value)
    parts = ((str(key).replace("_", " "), _inline(one)) for key, one in value.items())
    return "\n".join(f"{name}: {said}" for name, said in parts if said)


def _inline(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{str(k).replace('_', ' ')}: {said}" for k, v in value.items() if (said := _inline(v)))
    if isinstance(value, list):
        return ", ".join(filter(None, map(_inline, value)))
    return text(value)


if __name__ == "__main__":
    run_script(rows, __doc__)
