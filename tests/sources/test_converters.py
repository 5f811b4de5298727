"""Every converter: rows as the question table has them, from records in the source's own columns."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.loading import open_source, scripts_folder, source_names
from medprm_hf.publishing.licences import licence_of
from medprm_hf.sources.header import headers, read_header
from tests.sources.layouts import LAYOUTS
from tests.sources.making import jpg, lines, put, table

DATA = Path(__file__).parents[3] / "shared" / "data"


def rows_of(name: str, folder: Path, **more: Any) -> list[dict[str, Any]]:
    return list(open_source(name, **{**LAYOUTS[name](folder), **more}))


def test_every_source_has_a_layout_here() -> None:
    assert {"phantom", *LAYOUTS} == set(source_names())


@pytest.mark.parametrize("name", LAYOUTS)
def test_rows_say_where_they_come_from(name: str, tmp_path: Path) -> None:
    rows = rows_of(name, tmp_path)
    header = read_header(scripts_folder() / f"{name}.py")
    assert rows and header is not None
    assert len({row["question_id"] for row in rows}) == len(rows)
    for row in rows:
        assert row["group"] and row["license"], row["question_id"]
        assert row["image"] is None or row["image"]["bytes"], row["image_notes"]
        assert row["split"] in (None, "train", "development", "test")
        if row["options"] and row["answer"] is not None:
            assert row["options"][row["answer_index"]] == row["answer"]
    if not header.license.startswith(("yours", "each row's")):
        assert header.license.startswith(rows[0]["license"]), (header.license, rows[0]["license"])
        open_to_all = licence_of(rows[0]["license"], rows[0]["source"]).kind == "open"
        assert open_to_all == header.redistribution.startswith("yes"), header


WANTED: dict[str, list[dict[str, Any]]] = {
    "vqa_rad": [
        {
            "question": "is there a mass?",
            "options": ["yes", "no"],
            "answer": "yes",
            "answer_index": 0,
            "split": "train",
        },
        {"question": "where is it?", "options": [], "answer": "left lung", "answer_index": None},
        {"answer": "no", "split": "test", "modality": "radiology"},
    ],
    "slake": [
        {"question_id": "slake-1", "answer": "yes", "group": "slake-1", "modality": "mri", "split": "train"},
        {"question_id": "slake-3", "answer": "Liver", "options": []},
        {"question_id": "slake-9", "answer": "no", "modality": "xray", "split": "development"},
    ],
    "pmc_vqa": [
        {
            "options": ["Diffuse uptake", "Focal uptake", "No uptake", "?"],
            "answer": "Diffuse uptake",
            "group": "PMC1064097",
        },
        {"answer": "No uptake", "split": "test", "group": "PMC2"},
    ],
    "medqa": [{"answer": "drug b", "answer_index": 1, "split": "train"}, {"answer": "drug d", "split": "test"}],
    "medmcqa": [{"answer": "one", "answer_index": 0}, {"answer": "four"}, {"answer": None, "split": "test"}],
    "pubmedqa": [
        {"question_id": "pubmedqa-21645374", "answer": "maybe", "clinical_context": "Aim.\nResult.", "split": None}
    ],
    "mmlu_med": [{"answer": "a", "split": "development"}, {"answer": "c", "answer_index": 2, "split": "test"}],
    "agentclinic": [
        {"question": "What is the most likely diagnosis?", "answer": "Myasthenia gravis", "options": []},
        {"options": ["Eczema", "Ochronosis"], "answer": "Ochronosis"},
    ],
    "medxpertqa_mm": [
        {"question": "Which sign is shown?", "options": ["One", "Two"], "answer": "Two"},
        {"image_notes": ["2 pictures side by side"]},
    ],
    "mimic_cxr": [
        {"answer": "Edema", "group": "mimic-10000032", "split": "train", "clinical_context": "view: PA"},
        {"answer": "No Finding", "split": "development"},
    ],
    "chexpert": [
        {
            "answer": "Pleural Effusion",
            "group": "chexpert-patient00001",
            "clinical_context": "age: 68; sex: Female; view: AP",
        },
        {"answer": "Cardiomegaly", "split": "development"},
    ],
    "ham10000": [
        {"answer": "benign keratosis-like lesion", "group": "ham10000-HAM_0000118", "modality": "dermoscopy"},
        {"answer": "melanoma", "clinical_context": "sex: male; site: scalp"},
    ],
    "derm7pt": [
        {"answer": "basal cell carcinoma", "difficulty": "medium", "split": "train"},
        {"answer": "melanoma", "difficulty": "hard", "split": "development"},
        {"answer": "another lesion", "difficulty": "easy", "split": "test"},
    ],
    "quilt_1m": [{"question": None, "group": "quilt_1m-abcXYZ_-123", "clinical_context": "magnification: 1.0"}],
    "pmc_oa": [{"question": None, "group": "PMC212319", "split": "train", "clinical_context": None}],
    "tcga": [{"answer": "Adenocarcinoma, NOS", "group": "TCGA-05-4244", "clinical_context": "age: 70; sex: male"}],
    "radimagenet": [{"answer": "acl pathology", "modality": "mri", "clinical_context": "region: knee"}],
    "lits": [{"answer": "yes", "question_id": "lits-0-3"}, {"answer": "no"}, {"question": None, "group": "lits-7"}],
    "patchcamelyon": [{"answer": "yes"}, {"answer": "no"}, {"split": "development"}],
    "nifti_folder": [{"modality": "mri", "question": None}],
    "dicom_folder": [{"modality": "ct_scan", "question": None}, {"modality": "mri"}],
}


@pytest.mark.parametrize("name", WANTED)
def test_cells(name: str, tmp_path: Path) -> None:
    rows = rows_of(name, tmp_path)
    for row, wanted in zip(rows, WANTED[name], strict=False):
        assert {column: row[column] for column in wanted} == wanted
    assert len(rows) >= len(WANTED[name])


def test_one_patient_is_one_group(tmp_path: Path) -> None:
    first, second, third = rows_of("nifti_folder", tmp_path / "bids")
    assert first["group"] == second["group"] != third["group"]
    assert rows_of("tcga", tmp_path / "tcga")[0]["group"] == rows_of("tcga", tmp_path / "tcga")[1]["group"]
    two = rows_of("vqa_rad", tmp_path / "rad")[:2]
    assert two[0]["group"] == two[1]["group"] and two[0]["image_sha256"] == two[1]["image_sha256"]


def test_a_consultation_has_turns_and_the_model_is_the_doctor(tmp_path: Path) -> None:
    turns = rows_of("agentclinic", tmp_path / "clinic")[0]["turns"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant", "user"]
    assert "Primary Symptom: Double vision; Secondary Symptoms: Weakness, Fatigue" in turns[0]["text"]
    assert "Antibodies: Present" in turns[4]["text"] and "Myasthenia" not in json.dumps(turns)
    case = rows_of("ddxplus", tmp_path / "ddx", form="turns")[0]
    assert case["clinical_context"] is None
    assert case["turns"][0]["text"] == "Age 18, male. First complaint: Do you have a fever? Yes."
    assert {"role": "user", "text": "4 (of 0 to 10)."} in case["turns"]
    assert {"role": "user", "text": "Forehead."} in case["turns"]


def test_consultations_that_end_alike_are_not_one_question(tmp_path: Path) -> None:
    from medprm_hf import Questions
    from tests.sources.layouts_questions import agentclinic

    agentclinic(tmp_path)
    (case,) = [json.loads(line) for line in (tmp_path / "agentclinic_medqa.jsonl").read_text().splitlines()]
    cases = []
    for number in range(12):
        other = json.loads(json.dumps(case))
        words = " ".join(f"complaint{number}x{n}" for n in range(60))
        other["OSCE_Examination"]["Patient_Actor"]["History"] = words
        cases.append(other)
    lines(tmp_path / "agentclinic_medqa.jsonl", [*cases, cases[0]])
    rows = list(open_source("agentclinic", path=str(tmp_path / "agentclinic_medqa.jsonl")))
    table = {name: [row[name] for row in rows] for name in rows[0]}
    out = Questions(identifiers="ignore", splits={"train": 0.5, "test": 0.5})(table)
    assert out["question_status"] == ["kept"] * 12 + ["dropped"]
    assert set(out["split"][:12]) == {"train", "test"}


def test_ddxplus_in_words(tmp_path: Path) -> None:
    (row, *_) = rows_of("ddxplus", tmp_path, options=2)
    assert row["answer"] == "URTI" and set(row["options"]) == {"URTI", "Bronchitis"}
    assert "Where is the pain? Forehead." in row["clinical_context"] and "E_404" in row["clinical_context"]
    assert rows_of("ddxplus", tmp_path, options=0)[0]["options"] == []


def test_medqa_in_both_forms(tmp_path: Path) -> None:
    from tests.sources.layouts_questions import medqa

    options = medqa(tmp_path, "ABCDE")
    five = list(open_source("medqa", **options))
    assert len(five) == 2 and all(len(row["options"]) == 5 and row["source"] == "medqa_5" for row in five)
    assert [len(row["options"]) for row in open_source("medqa", path=str(tmp_path), options=4)] == [4]
    with pytest.raises(DataError, match="5 options a question, not 4: say options=5"):
        list(open_source("medqa", path=str(tmp_path / "train.jsonl"), options=4))


def test_medmcqa_counts_from_one_in_the_authors_files(tmp_path: Path) -> None:
    base = {"question": "Which?", "opa": "one", "opb": "two", "opc": "three", "opd": "four"}
    lines(tmp_path / "train.json", [{"id": "a", **base, "cop": 1}, {"id": "b", **base, "cop": 4}])
    assert [row["answer"] for row in open_source("medmcqa", path=str(tmp_path))] == ["one", "four"]
    with pytest.raises(DataError, match="counts from 0: say cop_from=1"):
        list(open_source("medmcqa", path=str(tmp_path), cop_from=0))
    lines(tmp_path / "mine.jsonl", [{"id": "a", **base, "cop": 0}])
    assert next(open_source("medmcqa", path=str(tmp_path / "mine.jsonl")))["answer"] == "one"


def test_vqa_rad_of_the_authors(tmp_path: Path) -> None:
    record = {
        "qid": "7",
        "phrase_type": "test_freeform",
        "image_name": "synpic1.jpg",
        "image_organ": "HEAD",
        "image_case_url": "https://medpix.nlm.nih.gov/case?id=48e1dd0e",
        "question": "Is it bright?",
        "question_type": "PRES",
        "answer": "Yes",
        "answer_type": "CLOSED",
    }
    both = [record, {**record, "qid": "8", "phrase_type": "freeform"}]
    put(tmp_path / "VQA_RAD Dataset Public.json", json.dumps(both))
    put(tmp_path / "VQA_RAD Image Folder" / "synpic1.jpg", jpg())
    first, second = open_source("vqa_rad", path=str(tmp_path))
    assert (first["split"], second["split"]) == ("test", "train")
    assert first["group"] == second["group"] and first["image"]["bytes"] and first["modality"] == "head radiology"


def test_free_answers_where_that_is_wanted(tmp_path: Path) -> None:
    first = rows_of("slake", tmp_path, yes_no=False)[0]
    assert first["options"] == [] and first["answer"] == "Yes"
    assert len(rows_of("slake", tmp_path, lang=None)) == 4


@pytest.mark.parametrize(
    "name", ["chexpert", "derm7pt", "dermnet", "ham10000", "lits", "mimic_cxr", "patchcamelyon", "radimagenet", "tcga"]
)
def test_labels_can_be_left_unasked(name: str, tmp_path: Path) -> None:
    rows = rows_of(name, tmp_path, ask="none")
    assert rows and all(not row["question"] and not row["options"] and row["answer"] is None for row in rows)
    with pytest.raises(ConfigError, match="did you mean none"):
        rows_of(name, tmp_path, ask="nome")


def test_chest_options_are_wrong_for_certain() -> None:
    from medprm_hf.sources.chest import FINDINGS, finding_columns

    marks = {"Edema": "1.0", "Pneumonia": "-1.0", "Cardiomegaly": "0.0", "Fracture": "0.0"}
    for number in range(50):
        made = finding_columns(f"n{number}", marks)
        assert made["answer"] == "Edema" and len(made["options"]) == 4
        assert not {"Pneumonia", "Lung Opacity", "No Finding", "Support Devices"} & set(made["options"])
        wide = finding_columns(f"n{number}", {"Lung Opacity": "1.0", "Consolidation": "0.0"}, options=13)
        assert not {"Edema", "Pneumonia", "Atelectasis", "Lung Lesion"} & set(wide["options"])
        assert "Consolidation" in wide["options"]
    assert finding_columns("x", dict.fromkeys(FINDINGS, ""))["question"] is None


def test_other_places_of_the_same_files(tmp_path: Path) -> None:
    """Dataverse's metadata without a suffix; Kaggle's LiTS in two folders."""
    options = LAYOUTS["ham10000"](tmp_path / "ham")
    expected = list(open_source("ham10000", **options))
    (tmp_path / "ham" / "HAM10000_metadata.csv").rename(tmp_path / "ham" / "HAM10000_metadata")
    assert list(open_source("ham10000", **options)) == expected
    (tmp_path / "lits").mkdir()
    options = LAYOUTS["lits"](tmp_path / "lits")
    expected = list(open_source("lits", **options))
    for kind in ("volume", "segmentation"):
        (tmp_path / "lits" / f"{kind}s").mkdir()
        for file in list((tmp_path / "lits").glob(f"{kind}-*.nii")):
            file.rename(tmp_path / "lits" / f"{kind}s" / file.name)
    assert list(open_source("lits", **options)) == expected


def test_split_and_limit(tmp_path: Path) -> None:
    assert [row["split"] for row in rows_of("vqa_rad", tmp_path, split="test")] == ["test"]
    assert len(rows_of("vqa_rad", tmp_path, limit=1)) == 1
    with pytest.raises(DataError, match="no split development; there is: test, train"):
        rows_of("vqa_rad", tmp_path, split="valid")


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("slake", {"path": "/no/such"}, "no file or folder at /no/such"),
        ("mimic_cxr", {"path": "/no/such"}, "mimic-cxr-2.0.0-metadata.csv"),
        ("ddxplus", {"path": "/no/such"}, "release_evidences.json"),
        ("derm7pt", {"path": "/no/such"}, "meta/meta.csv"),
        ("lits", {"path": "/no/such"}, "holds no volume-N.nii"),
        ("dermnet", {"path": "/no/such"}, "holds no train and test folder"),
    ],
)
def test_what_is_not_there_is_said(name: str, options: dict[str, Any], says: str) -> None:
    with pytest.raises(DataError, match=says):
        list(open_source(name, **options))


def test_columns_of_another_dataset_are_refused_by_name(tmp_path: Path) -> None:
    table(tmp_path / "train.csv", [{"questions": "Which?", "answer": "a", "image": ""}])
    with pytest.raises(DataError, match=r"no column 'question'; did you mean questions\?"):
        list(open_source("vqa_rad", path=str(tmp_path)))


def test_headers_are_whole() -> None:
    found = headers(scripts_folder())
    assert {one.name for one in found} == set(LAYOUTS)
    for one in found:
        assert one.title.endswith((".", "?")) or ":" in one.title, one.title
        assert len(one.checked) > 5 and len(one.needs) > 5


def test_real_slake_records(tmp_path: Path) -> None:
    folder = DATA / "slake_text"
    if not folder.is_dir():
        pytest.skip(f"no {folder}")
    rows = list(open_source("slake", path=str(folder)))
    assert len(rows) == 1553 and len({row["question_id"] for row in rows}) == 1553
    assert all("not in the copy" in row["image_notes"][0] for row in rows)
    assert {row["modality"] for row in rows} == {"ct_scan", "mri", "xray"}
    assert sum(row["options"] == ["yes", "no"] for row in rows) > 300


REAL = [("pubmedqa", "pubmedqa/pqal_dev500.json", 500), ("pneumoniamnist", "pneumoniamnist", 30)]


@pytest.mark.parametrize(("name", "place", "count"), REAL)
def test_real_files(name: str, place: str, count: int) -> None:
    if not (DATA / place).exists():
        pytest.skip(f"no {DATA / place}")
    rows = list(open_source(name, path=str(DATA / place)))
    assert len(rows) == count and all(row["answer_index"] is not None for row in rows)


@pytest.mark.parametrize("name", ["vqa_rad", "medmcqa", "lits"])
def test_a_converter_is_a_program(name: str, tmp_path: Path) -> None:
    options = LAYOUTS[name](tmp_path)
    script = str(scripts_folder() / f"{name}.py")
    done = subprocess.run(
        [sys.executable, script, "--path", options["path"], "--limit", "1"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["source"] == name
    lost = subprocess.run([sys.executable, script, "/no/such"], capture_output=True, text=True)
    assert lost.returncode == 1 and lost.stderr.startswith("error: ") and "Traceback" not in lost.stderr
