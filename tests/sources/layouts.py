"""Every source of `loading_scripts/` with the function that writes a tiny copy of it and gives its options."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.sources import layouts_images as images
from tests.sources import layouts_questions as questions
from tests.sources.making import Options

LAYOUTS: dict[str, Callable[[Path], Options]] = {
    "agentclinic": questions.agentclinic,
    "chexpert": images.chexpert,
    "ddxplus": questions.ddxplus,
    "derm7pt": images.derm7pt,
    "dermnet": images.dermnet,
    "dicom_folder": images.dicom,
    "ham10000": images.ham10000,
    "images": images.own_images,
    "lits": images.lits,
    "medmcqa": questions.medmcqa,
    "medqa": questions.medqa,
    "medxpertqa_mm": questions.medxpertqa,
    "mimic_cxr": images.mimic,
    "mmlu_med": questions.mmlu,
    "nifti_folder": images.nifti,
    "patchcamelyon": images.patchcamelyon,
    "pathvqa": questions.vqa,
    "pmc_oa": images.pmc_oa,
    "pmc_vqa": questions.pmc_vqa,
    "pneumoniamnist": images.pneumonia,
    "pubmedqa": questions.pubmedqa,
    "quilt_1m": images.quilt,
    "radimagenet": images.radimagenet,
    "slake": questions.slake,
    "table": images.own_table,
    "tcga": images.tcga,
    "vqa_rad": questions.vqa,
}
