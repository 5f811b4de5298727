"""A few invented records of every source with images and labels, and of folders of one's own, as those have them."""

from __future__ import annotations

from pathlib import Path

from tests.sources.making import Options, cell, jpg, lines, parquet, png, put, table, zipped

CHEST = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)


def mimic(folder: Path) -> Options:
    who = [("10000032", "50414267", "02aa804e"), ("10000764", "57375967", "096052b7")]
    table(
        folder / "mimic-cxr-2.0.0-metadata.csv.gz",
        [
            {"dicom_id": d, "subject_id": p, "study_id": s, "ViewPosition": v, "Rows": 3056, "Columns": 2544}
            for (p, s, d), v in zip([*who, ("10000764", "57375967", "lateral1")], ("PA", "AP", "LATERAL"), strict=True)
        ],
    )
    table(
        folder / "mimic-cxr-2.0.0-split.csv.gz",
        [
            {"dicom_id": d, "study_id": s, "subject_id": p, "split": w}
            for (p, s, d), w in zip(who, ("train", "validate"), strict=True)
        ],
    )
    marks = [{"Edema": "1.0", "Pneumonia": "-1.0", "Cardiomegaly": "0.0"}, {"No Finding": "1.0"}]
    table(
        folder / "mimic-cxr-2.0.0-chexpert.csv.gz",
        [
            {"subject_id": p, "study_id": s, **dict.fromkeys(CHEST, ""), **mark}
            for (p, s, _), mark in zip(who, marks, strict=True)
        ],
    )
    for place, (p, s, d) in enumerate(who):
        put(folder / f"files/p{p[:2]}/p{p}/s{s}/{d}.jpg", jpg(place))
    return {"path": str(folder)}


def chexpert(folder: Path) -> Options:
    head = folder / "CheXpert-v1.0-small"
    base = {"Sex": "Female", "Age": 68, "Frontal/Lateral": "Frontal", "AP/PA": "AP", **dict.fromkeys(CHEST, "")}
    shown = "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg"
    side = {
        **base,
        "Path": shown.replace("view1_frontal", "view2_lateral"),
        "Frontal/Lateral": "Lateral",
        "Edema": "1.0",
    }
    table(
        head / "train.csv", [{"Path": shown, **base, "Pleural Effusion": "1.0", "Edema": "-1.0"}, {"Path": "", **side}]
    )
    valid = shown.replace("train", "valid").replace("00001", "64541")
    table(head / "valid.csv", [{"Path": valid, **base, "Cardiomegaly": "1.0", "AP/PA": ""}])
    put(folder / shown, jpg(1))
    put(folder / valid, jpg(2))
    return {"path": str(head)}


def ham10000(folder: Path) -> Options:
    base = {
        "lesion_id": "HAM_0000118",
        "image_id": "ISIC_0027419",
        "dx": "bkl",
        "dx_type": "histo",
        "age": 80.0,
        "sex": "male",
        "localization": "scalp",
    }
    table(
        folder / "HAM10000_metadata.csv",
        [base, {**base, "image_id": "ISIC_2", "lesion_id": "HAM_2", "dx": "mel", "age": ""}],
    )
    table(folder / "hmnist_8_8_L.csv", [{"pixel0000": 1, "label": 2}])
    put(folder / "HAM10000_images_part_1" / "ISIC_0027419.jpg", jpg(1))
    put(folder / "HAM10000_images_part_2" / "ISIC_2.jpg", jpg(2))
    return {"path": str(folder)}


def derm7pt(folder: Path) -> Options:
    base = {
        "case_num": 1,
        "diagnosis": "basal cell carcinoma",
        "seven_point_score": 0,
        "pigment_network": "absent",
        "streaks": "absent",
        "pigmentation": "absent",
        "regression_structures": "absent",
        "dots_and_globules": "absent",
        "blue_whitish_veil": "absent",
        "vascular_structures": "arborizing",
        "level_of_diagnostic_difficulty": "medium",
        "elevation": "nodular",
        "location": "abdomen",
        "sex": "female",
        "management": "excision",
        "clinic": "NEL/NEL025.JPG",
        "derm": "NEL/Nel026.jpg",
        "case_id": "",
        "notes": "",
    }
    other = {
        **base,
        "case_num": 2,
        "diagnosis": "melanoma (in situ)",
        "level_of_diagnostic_difficulty": "high",
        "derm": "FAL/Fal1.jpg",
    }
    third = {**base, "case_num": 3, "diagnosis": "lentigo", "level_of_diagnostic_difficulty": "low"}
    table(folder / "meta" / "meta.csv", [base, other, third])
    for word, places in (("train", [0]), ("valid", [1]), ("test", [2])):
        table(folder / "meta" / f"{word}_indexes.csv", [{"indexes": place} for place in places])
    for place, name in enumerate(("NEL/NEL025.JPG", "NEL/Nel026.jpg", "FAL/Fal1.jpg")):
        put(folder / "images" / name, jpg(place))
    return {"path": str(folder)}


def dermnet(folder: Path) -> Options:
    for place, name in enumerate(
        ("Acne and Rosacea Photos", "Eczema Photos", "Psoriasis pictures Lichen Planus Photos")
    ):
        put(folder / "train" / name / f"0{place}Skin.jpg", jpg(place))
    put(folder / "test" / "Eczema Photos" / "t-eczema-1.jpg", jpg(9))
    return {"path": str(folder), "options": 2}


def quilt(folder: Path) -> Options:
    base = {
        "": 0,
        "caption": "Spindle cells.",
        "image_path": "abcXYZ_-123_image_4f5e.jpg",
        "subset": "quilt",
        "split": "train",
        "pathology": "['Dermatopathology']",
        "roi_text": "[]",
        "noisy_text": "[]",
        "corrected_text": "[]",
        "med_umls_ids": "[]",
        "magnification": "1.0",
        "height": 480,
        "width": 640,
    }
    again = {**base, "": 1, "caption": "The same once more."}
    other = {**base, "": 2, "image_path": "q_image_2.jpg", "split": "val", "subset": "openpath", "magnification": ""}
    table(folder / "quilt_1M_lookup.csv", [base, again, other])
    put(folder / "quilt_1m" / "abcXYZ_-123_image_4f5e.jpg", jpg(1))
    zipped(folder / "images_part_1.zip", {"quilt_1m/q_image_2.jpg": jpg(2)})
    return {"path": str(folder)}


def pmc_oa(folder: Path) -> Options:
    record = {
        "image": "PMC212319_Fig3_4.jpg",
        "caption": "A. Real time image.",
        "pmcid": "PMC212319",
        "url_name": "1.jpg",
    }
    lines(folder / "train.jsonl", [record])
    lines(folder / "valid.jsonl", [{**record, "image": "PMC7_Fig1.jpg", "pmcid": "PMC7"}])
    zipped(folder / "images.zip", {"images/PMC212319_Fig3_4.jpg": jpg(1), "images/PMC7_Fig1.jpg": jpg(2)})
    return {"path": str(folder)}


def tcga(folder: Path) -> Options:
    tiles = folder / "tiles"
    put(tiles / "lung" / "TCGA-05-4244-01Z-00-DX1_1.jpg", jpg(1))
    put(tiles / "lung" / "TCGA-05-4244-01Z-00-DX1_2.jpg", jpg(2))
    put(tiles / "skin" / "TCGA-D3-A1Q1-01Z-00-DX1_1.png", png(3))
    base = {"cases.submitter_id": "TCGA-05-4244", "demographic.age_at_index": "70", "demographic.gender": "male"}
    table(
        folder / "clinical.tsv",
        [
            {**base, "diagnoses.primary_diagnosis": "'--"},
            {**base, "diagnoses.primary_diagnosis": "Adenocarcinoma, NOS"},
            {
                "cases.submitter_id": "TCGA-D3-A1Q1",
                "demographic.age_at_index": "'--",
                "demographic.gender": "female",
                "diagnoses.primary_diagnosis": "Malignant melanoma, NOS",
            },
        ],
        "\t",
    )
    return {"path": str(tiles), "clinical": str(folder / "clinical.tsv")}


def radimagenet(folder: Path) -> Options:
    files = [
        ("radiology_ai/MR/knee/acl_pathology/knee012.png", "acl_pathology"),
        ("radiology_ai/MR/knee/normal/knee013.png", "normal"),
        ("radiology_ai/CT/lung/nodule/lung1.png", "nodule"),
    ]
    table(folder / "RadiologyAI_train.csv", [{"filename": file, "label": label} for file, label in files])
    table(folder / "RadiologyAI_val.csv", [{"filename": files[0][0].replace("012", "2"), "label": "acl_pathology"}])
    for place, (file, _) in enumerate(files):
        put(folder / file, png(place * 9))
    put(folder / "radiology_ai/MR/knee/acl_pathology/knee2.png", png(77))
    return {"path": str(folder)}


def lits(folder: Path) -> Options:
    import nibabel
    import numpy as np

    ct = np.random.default_rng(0).integers(-100, 200, (16, 16, 6)).astype(np.int16)
    outlined = np.zeros((16, 16, 6), np.uint8)
    outlined[2:10, 2:10, 1:5] = 1
    outlined[3:6, 3:6, 3] = 2
    for name, voxels in (("volume-0", ct), ("segmentation-0", outlined), ("volume-7", ct[:, :, :3])):
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / f"{name}.nii")
    return {"path": str(folder)}


def patchcamelyon(folder: Path) -> Options:
    parquet(
        folder / "data" / "train-00000-of-00001.parquet",
        [{"image": cell(1), "label": True}, {"image": cell(2), "label": False}],
        image=True,
    )
    parquet(folder / "data" / "valid-00000-of-00001.parquet", [{"image": cell(3), "label": False}], image=True)
    return {"path": str(folder)}


def own_images(folder: Path) -> Options:
    put(folder / "a.png", png(1))
    put(folder / "b.jpg", jpg(2))
    return {"path": str(folder), "license": "CC0", "secret": "s"}


def own_table(folder: Path) -> Options:
    put(folder / "x.png", png(1))
    file = table(
        folder / "mine.csv",
        [
            {
                "question_id": "a",
                "image": "x.png",
                "question": "Which?",
                "options": "one|two",
                "answer": "B",
                "license": "CC0",
            },
            {"question_id": "b", "image": "", "question": "Why?", "options": "", "answer": "so", "license": "CC0"},
        ],
    )
    return {"path": str(file)}


def nifti(folder: Path) -> Options:
    import nibabel
    import numpy as np

    voxels = np.random.default_rng(1).integers(0, 99, (8, 8, 5)).astype(np.int16)
    for inside in ("sub-01/ses-1/anat/sub-01_T1w.nii.gz", "sub-01/ses-2/func/sub-01_bold.nii.gz", "sub-02/anat/x.nii"):
        (folder / inside).parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), folder / inside)
        voxels = voxels + 1
    return {"path": str(folder), "license": "CC0", "secret": "s"}


def dicom(folder: Path) -> Options:
    from pydicom.data import get_testdata_file

    for name in ("CT_small.dcm", "MR_small.dcm"):
        put(folder / name.split("_")[0] / "1.dcm", Path(str(get_testdata_file(name))).read_bytes())
    put(folder / "notes.txt", "no image")
    return {"path": str(folder), "license": "CC0", "secret": "s"}


def pneumonia(folder: Path) -> Options:
    case = {
        "file": "png_test/test_0000.png",
        "npz_split": "test",
        "npz_index": 0,
        "label": 1,
        "label_name": "pneumonia",
        "width": 28,
        "height": 28,
    }
    lines(folder / "cases.jsonl", [case])
    put(folder / "png_test" / "test_0000.png", png(1))
    return {"path": str(folder)}
