"""The source `images`: a folder of everything becomes rows that name nobody."""

from __future__ import annotations

from pathlib import Path

import pytest

from medprm_hf.errors import DataError
from medprm_hf.loading import open_source
from tests.imaging.test_deidentify import DICOMS, PLANTED, jpeg, named, png, written


def test_a_folder_becomes_rows_that_name_nobody(tmp_path: Path) -> None:
    folder = tmp_path / "DOE^JANE 4711223"
    folder.mkdir()
    (folder / "DOE_JANE.dcm").write_bytes(written(named()))
    (folder / "again.dcm").write_bytes(written(named(("1.2.3.4.5", "1.2.3.4.5.6", "1.2.3.4.5.6.8"))))
    (folder / "a.jpg").write_bytes(jpeg())
    (tmp_path / "b.png").write_bytes(png())
    (tmp_path / "copy.png").write_bytes(png())
    (tmp_path / "plan.dcm").write_bytes((DICOMS / "rtplan.dcm").read_bytes())
    (tmp_path / "readme.txt").write_text("Doe Jane")
    rows = list(open_source("images", path=str(tmp_path), license="CC0", secret="s"))
    assert len(rows) == 5 and len({row["question_id"] for row in rows}) == 5
    assert [word for word in (*PLANTED, "DOE_JANE") if word.encode() in repr(rows).encode()] == []
    ct = [row for row in rows if row["modality"] == "ct_scan"]
    assert len(ct) == 2 and ct[0]["group"] == ct[1]["group"] and len({row["group"] for row in rows}) == 4
    assert sum(row["image"]["bytes"] is None for row in rows) == 1  # the plan holds no picture
    assert rows == list(open_source("images", path=str(tmp_path), license="CC0", secret="s"))
    other = list(open_source("images", path=str(tmp_path), license="CC0", secret="t"))
    assert not {row["group"] for row in rows} & {row["group"] for row in other}
    assert len(list(open_source("images", path=str(tmp_path), license="CC0", limit=2))) == 2


def test_no_folder_is_said() -> None:
    with pytest.raises(DataError, match="no folder at"):
        list(open_source("images", path="/no/such", license="CC0"))
