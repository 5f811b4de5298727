"""A few invented records of every source with questions, in the very columns, files and folders that the source has."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from tests.sources.making import Options, cell, jpg, lines, parquet, put, table, zipped


def vqa(folder: Path) -> Options:
    """The Hub's VQA-RAD and PathVQA: image, question, answer."""
    train = [
        {"image": cell(10), "question": "is there a mass?", "answer": "yes"},
        {"image": cell(10), "question": "where is it?", "answer": "left lung"},
    ]
    parquet(folder / "data" / "train-00000-of-00001.parquet", train, image=True)
    test = [{"image": cell(30), "question": "is it large?", "answer": "No"}]
    parquet(folder / "data" / "test-00000-of-00001.parquet", test, image=True)
    return {"path": str(folder)}


def slake(folder: Path) -> Options:
    base = {
        "img_id": 1,
        "img_name": "xmlab1/source.jpg",
        "location": "Abdomen",
        "modality": "MRI",
        "base_type": "vqa",
        "triple": ["vhead", "_", "_"],
        "content_type": "Organ",
    }
    first = [
        {**base, "qid": 1, "question": "Is it a liver?", "answer": "Yes", "q_lang": "en", "answer_type": "CLOSED"},
        {**base, "qid": 2, "question": "这是什么?", "answer": "肝", "q_lang": "zh", "answer_type": "OPEN"},
        {**base, "qid": 3, "question": "Which organ?", "answer": "Liver", "q_lang": "en", "answer_type": "OPEN"},
    ]
    other = {**base, "img_id": 2, "img_name": "xmlab2/source.jpg", "modality": "X-Ray"}
    second = [{**other, "qid": 9, "question": "Is it well?", "answer": "No", "q_lang": "en", "answer_type": "CLOSED"}]
    put(folder / "train.json", json.dumps(first, indent=1))
    put(folder / "validation.json", json.dumps(second))
    zipped(folder / "imgs.zip", {"imgs/xmlab1/source.jpg": jpg(1), "imgs/xmlab2/source.jpg": jpg(2)})
    return {"path": str(folder)}


def pmc_vqa(folder: Path) -> Options:
    choices = {
        "Choice A": " A:Diffuse uptake ",
        "Choice B": "B:Focal uptake",
        "Choice C": "C:No uptake",
        "Choice D": "D:?",
    }
    first = {
        "Figure_path": "PMC1064097_F1.jpg",
        "Question": "What is the uptake?",
        "Anwser": "Focal uptake",
        **choices,
        "Answer_label": "B",
    }
    second = {
        "index": 0,
        "Figure_path": "PMC1064097_F1_2.jpg",
        "Caption": "Uptake.",
        "Question": "And here?",
        **choices,
        "Answer": "A",
        "split": "train",
    }
    table(folder / "train.csv", [first])
    table(folder / "train_2.csv", [second])
    table(folder / "test_2.csv", [{**second, "Figure_path": "PMC2_F1.jpg", "split": "test", "Answer": " C:No uptake"}])
    figures = {f"figures/{name}": jpg(place) for place, name in enumerate(("PMC1064097_F1_2.jpg", "PMC2_F1.jpg"))}
    zipped(folder / "images_2.zip", figures)
    zipped(folder / "images.zip", {"images/PMC1064097_F1.jpg": jpg(7)})
    return {"path": str(folder)}


def medxpertqa(folder: Path) -> Options:
    record = {
        "id": "MM-26",
        "question": "Which sign is shown?\nAnswer Choices: (A) One (B) Two",
        "label": "B",
        "options": {"A": "One", "B": "Two", "C": None, "D": None, "E": None},
        "images": ["MM-26-a.jpeg"],
        "medical_task": "Diagnosis",
        "body_system": "Skeletal",
        "question_type": "Reasoning",
    }
    lines(folder / "MM" / "dev.jsonl", [record])
    lines(folder / "MM" / "test.jsonl", [{**record, "id": "MM-27", "images": ["MM-26-a.jpeg", "MM-27-b.jpeg"]}])
    lines(folder / "Text" / "test.jsonl", [{"id": "Text-1", "question": "?", "options": {}, "label": "A"}])
    zipped(folder / "images.zip", {"images/MM-26-a.jpeg": jpg(3), "images/MM-27-b.jpeg": jpg(4)})
    return {"path": str(folder)}


def medqa(folder: Path, letters: str = "ABCD") -> Options:
    options = {one: f"drug {one.lower()}" for one in letters}
    record = {
        "question": "A 20-year-old … best drug?",
        "answer": "drug b",
        "options": options,
        "meta_info": "step1",
        "answer_idx": "B",
    }
    four = {**record, "metamap_phrases": ["drug"]}
    if letters == "ABCD":
        lines(folder / "phrases_no_exclude_train.jsonl", [four])
        lines(folder / "phrases_no_exclude_test.jsonl", [{**four, "answer": "drug d", "answer_idx": "D"}])
        return {"path": str(folder)}
    lines(folder / "dev.jsonl", [record])
    lines(folder / "train.jsonl", [record])
    lines(
        folder / "4_options" / "phrases_no_exclude_train.jsonl", [{**four, "options": dict(list(options.items())[:4])}]
    )
    return {"path": str(folder), "options": 5}


def medmcqa(folder: Path) -> Options:
    record = {
        "id": "4e1715fe",
        "question": "Which term?",
        "opa": "one",
        "opb": "two",
        "opc": "three",
        "opd": "four",
        "cop": 0,
        "choice_type": "single",
        "exp": "It is one.",
        "subject_name": "Pathology",
        "topic_name": None,
    }
    parquet(folder / "data" / "train-00000-of-00001.parquet", [record, {**record, "id": "b", "cop": 3}])
    parquet(folder / "data" / "test-00000-of-00001.parquet", [{**record, "id": "c", "cop": -1, "exp": None}])
    return {"path": str(folder)}


def pubmedqa(folder: Path) -> Options:
    context = {
        "contexts": ["Aim.", "Result."],
        "labels": ["AIM", "RESULT"],
        "meshes": ["Humans"],
        "reasoning_required_pred": ["y"],
        "reasoning_free_pred": ["y"],
    }
    record = {
        "pubid": 21645374,
        "question": "Do cells die?",
        "context": context,
        "long_answer": "They do.",
        "final_decision": "maybe",
    }
    parquet(folder / "pqa_labeled" / "train-00000-of-00001.parquet", [record])
    return {"path": str(folder)}


def mmlu(folder: Path) -> Options:
    for subject in ("anatomy", "medical_genetics"):
        record = {"question": f"Which {subject}?", "subject": subject, "choices": ["a", "b", "c", "d"], "answer": 2}
        parquet(folder / subject / "test-00000-of-00001.parquet", [record])
        parquet(folder / subject / "dev-00000-of-00001.parquet", [{**record, "question": "Shown?", "answer": 0}])
    return {"path": str(folder), "subjects": ["anatomy", "medical_genetics"]}


def ddxplus(folder: Path) -> Options:
    evidences = {
        "E_91": {
            "name": "E_91",
            "code_question": "E_91",
            "question_fr": "",
            "question_en": "Do you have a fever?",
            "is_antecedent": False,
            "default_value": 0,
            "value_meaning": {},
            "possible-values": [],
            "data_type": "B",
        },
        "E_55": {
            "name": "E_55",
            "code_question": "E_53",
            "question_fr": "",
            "question_en": "Where is the pain?",
            "is_antecedent": False,
            "default_value": "V_123",
            "possible-values": ["V_123", "V_89"],
            "data_type": "M",
            "value_meaning": {"V_123": {"fr": "", "en": "nowhere"}, "V_89": {"fr": "", "en": "forehead"}},
        },
        "E_56": {
            "name": "E_56",
            "code_question": "E_53",
            "question_fr": "",
            "question_en": "How strong is it?",
            "is_antecedent": False,
            "default_value": 0,
            "value_meaning": {},
            "data_type": "C",
            "possible-values": list(range(11)),
        },
    }
    put(folder / "release_evidences.json", json.dumps(evidences))
    record = {
        "AGE": 18,
        "DIFFERENTIAL_DIAGNOSIS": "[['Bronchitis', 0.5], ['Pneumonia', 0.3], ['URTI', 0.2]]",
        "SEX": "M",
        "PATHOLOGY": "URTI",
        "EVIDENCES": "['E_91', 'E_55_@_V_89', 'E_56_@_4', 'E_404']",
        "INITIAL_EVIDENCE": "E_91",
    }
    table(folder / "release_train_patients", [record])
    table(folder / "release_test_patients.csv", [{**record, "AGE": 70, "SEX": "F"}])
    held = io.StringIO()
    writer = csv.DictWriter(held, list(record))
    writer.writeheader()
    writer.writerow(record)
    zipped(folder / "release_validate_patients.zip", {"release_validate_patients": held.getvalue().encode()})
    return {"path": str(folder)}


def agentclinic(folder: Path) -> Options:
    case = {
        "Objective_for_Doctor": "Assess the patient.",
        "Patient_Actor": {
            "Demographics": "35-year-old female",
            "History": "Double vision.",
            "Past_Medical_History": "None.",
            "Symptoms": {"Primary_Symptom": "Double vision", "Secondary_Symptoms": ["Weakness", "Fatigue"]},
            "Social_History": "Non-smoker.",
            "Review_of_Systems": "No fever.",
        },
        "Physical_Examination_Findings": {"Vital_Signs": {"Temperature": "36.6 C", "Heart_Rate": "72 bpm"}},
        "Test_Results": {"Blood_Tests": {"Antibodies": "Present"}},
        "Correct_Diagnosis": "Myasthenia gravis",
    }
    lines(folder / "agentclinic_medqa.jsonl", [{"OSCE_Examination": case}])
    nejm = {
        "image_url": "https://example.org/ContentServer/images?id=IC20240111&width=1500&height=4000",
        "question": "Which diagnosis?",
        "patient_info": "You are …",
        "physical_exams": "Findings …",
        "answers": [{"text": "Eczema", "correct": False}, {"text": "Ochronosis", "correct": True}],
    }
    put(folder / "images" / "IC20240111.jpg", jpg(5))
    lines(folder / "agentclinic_nejm.jsonl", [nejm])
    return {"path": str(folder)}
