"""PatchCamelyon: 327,680 patches of lymph node sections, with or without metastasis (Veeling et al. 2018).

Hub: 1aurent/PatchCamelyon
Licence: CC0 1.0
Redistribution: yes
Needs: nothing to sign; for the authors' HDF5 files h5py (extra `sources`)
Columns: image, label; of the authors' files x, y (HDF5) and wsi of *_meta.csv
Checked: dataset card (1aurent/PatchCamelyon, dataset_info); the HDF5 files by public loaders

The label speaks for the central 32 x 32 pixels. The Hub has no patient, so there each patch is its own group; the
authors' meta files name the slide, which is the group then. ask=none gives rows without a question.

    python loading_scripts/patchcamelyon.py --path copy/of/PatchCamelyon --split test --limit 3
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from medprm_hf.errors import DataError, MissingExtraError
from medprm_hf.imaging.loaded import as_png
from medprm_hf.sources import Record, ask_rows, choice, picture, records, run_script, split_name, text
from medprm_hf.sources.rows import YES_NO

HUB = "1aurent/PatchCamelyon"
LICENSE = "CC0 1.0"
QUESTION = "Does the centre of this lymph node patch contain metastatic tissue?"
_TRUE = ("1", "true", "1.0")


def rows(
    path: str | None = None, hub: str = HUB, split: str | None = None, limit: int | None = None, ask: str = "label"
) -> Iterator[dict[str, Any]]:
    """Question rows of the Hub dataset, of a copy of it, or of the authors' HDF5 files."""
    asked = ask_rows(ask)
    hdf5 = sorted(Path(path).glob("camelyonpatch_level_2_split_*_x.h5")) if path else []
    found = _hdf5(hdf5, split_name(split)) if hdf5 else records(path, hub, columns=("image", "label"), only=split)
    for record in islice(found, limit):
        name = f"patchcamelyon-{record.split or 'rows'}-{record.number:06d}"
        label = text(record["label"]).casefold()
        yield {
            "question_id": name,
            "image": picture(record["image"]),
            "question": QUESTION if asked else None,
            **(choice(YES_NO, answer="yes" if label in _TRUE else "no" if label else None) if asked else {}),
            "modality": "pathology",
            "group": f"patchcamelyon-{record['wsi']}" if record["wsi"] else name,
            "split": record.split,
            "source": "patchcamelyon",
            "license": LICENSE,
        }


def _hdf5(files: list[Path], wanted: str | None) -> Iterator[Record]:
    """Records of the authors' files: image, label and slide, one patch at a time."""
    try:
        import h5py  # type: ignore[import-not-found, unused-ignore]
    except ImportError as error:
        raise MissingExtraError("the authors' HDF5 files of PatchCamelyon", "sources", "h5py") from error
    for file in files:
        split = split_name(file.name.split("split_")[-1])
        if wanted not in (None, split):
            continue
        labels = file.with_name(file.name.replace("_x.h5", "_y.h5"))
        if not labels.is_file():
            raise DataError(f"no {labels.name} beside {file.name}: the labels are in it")
        slides = _slides(file.with_name(file.name.replace("_x.h5", "_meta.csv")))
        with h5py.File(file) as patches, h5py.File(labels) as marks:
            for number in range(len(patches["x"])):
                shown = as_png(patches["x"][number], ())
                value = {"image": shown, "label": int(marks["y"][number].squeeze()), "wsi": next(slides, None)}
                yield Record(value, split, number, file.name)


def _slides(file: Path) -> Iterator[str]:
    return (text(one["wsi"]) for one in records(file, columns=("wsi",))) if file.is_file() else iter(())


if __name__ == "__main__":
    run_script(rows, __doc__)
