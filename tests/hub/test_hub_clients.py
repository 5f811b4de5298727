"""The unmodified `datasets` and `huggingface_hub` against the local Hub: pushing, loading, streaming by range, rights.

They read HF_ENDPOINT when they are imported, so each test runs one Python of its own.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.hub.fixtures import TestHub

PUSH_AND_LOAD = """
import json
from datasets import Dataset, DatasetDict, Image, load_dataset
from PIL import Image as Pillow
rows = [{"question": f"q{i}", "labels": ["+", "-"][: i % 3], "image": Pillow.new("L", (8, 8), i)} for i in range(7)]
both = DatasetDict(train=Dataset.from_list(rows[:5]).cast_column("image", Image()), test=Dataset.from_list(rows[5:]))
told = both.push_to_hub(NAME, private=True)
Dataset.from_list([{"question": "new"}]).push_to_hub(NAME, "other")
one = load_dataset(NAME, split="train")
print(json.dumps({
    "rows": list(one["question"]), "labels": list(one["labels"]), "size": one[2]["image"].size,
    "splits": {name: len(part) for name, part in load_dataset(NAME, "default").items()},
    "other": load_dataset(NAME, "other", split="train")[:]["question"],
    "streamed": [row["question"] for row in load_dataset(NAME, split="test", streaming=True)],
    "first": told.oid,
}))
try:
    load_dataset(NAME, "other", revision=told.oid)
except ValueError as error:
    print("at the first commit:", error)
try:
    load_dataset(NAME, revision="vanished")
except Exception as error:
    print(type(error).__name__, error)
"""


def test_datasets_pushes_and_loads(hub: TestHub, tmp_path: Path) -> None:
    name = hub.name()
    out = hub.python(f"NAME = {name!r}\n{PUSH_AND_LOAD}", "owner", tmp_path)
    told = json.loads(next(line for line in out.splitlines() if line.startswith("{")))
    assert told["rows"] == [f"q{i}" for i in range(5)]
    assert told["labels"] == [[], ["+"], ["+", "-"], [], ["+"]]
    assert (told["size"], told["splits"]) == ([8, 8], {"train": 5, "test": 2})
    assert (told["other"], told["streamed"]) == (["new"], ["q5", "q6"])
    assert "at the first commit: BuilderConfig 'other' not found" in out
    assert re.search(r"(RevisionNotFound|DatasetNotFound)Error.*vanished", out)
    repo = hub.repo("owner", name)
    assert "other/train-00000-of-00001.parquet" in repo.files()
    assert "other/train-00000-of-00001.parquet" not in repo.files(told["first"])


STREAM = """
from datasets import load_dataset
print(next(iter(load_dataset(NAME, split="train", streaming=True)))["question"])
print(len(load_dataset(NAME, split="train", revision="small")))
"""


@pytest.mark.slow
def test_streaming_fetches_ranges_not_files(hub: TestHub, tmp_path: Path) -> None:
    repo = hub.repo()
    repo.branch("small")
    for branch, count in (("small", 1), ("main", 4)):
        files = {}
        for number in range(count):
            file = tmp_path / f"{branch}-{number}.parquet"
            table = pa.table({"question": [f"q{number}"] * 50, "x": [os.urandom(60_000) for _ in range(50)]})
            pq.write_table(table, file, row_group_size=10, compression="none")
            files[f"data/train-{number:05d}-of-{count:05d}.parquet"] = file
        repo.commit(files, "Data", branch=branch)
    out = hub.python(f"NAME = {repo.name!r}\n{STREAM}", None, tmp_path / "home")
    assert out.split() == ["q0", "50"]
    fetched = [0, 0, 0, 0]
    for method, path, asked in hub.asked(f"{repo.name}/resolve/"):
        if method == "GET" and (found := re.search(r"data/train-0000(\d)-of-00004", path)):
            first, _, last = asked.removeprefix("bytes=").partition("-")
            assert last, f"{path} was asked for as a whole ({asked or 'no range'})"
            fetched[int(found[1])] += int(last) - int(first) + 1
    assert fetched[0] > 500_000, "the first rows"
    assert fetched[1:] == [0, 0, 0], "the files behind are not touched"


RIGHTS = """
from datasets import Dataset, load_dataset
from huggingface_hub.errors import HfHubHTTPError
for who in ("stranger", "contributor"):
    mine = {"token": f"hf_{who}"}
    try:
        Dataset.from_list([{"a": 2}]).push_to_hub(NAME, **mine)
    except HfHubHTTPError as error:
        print(who, "push", error.response.status_code)
    try:
        done = Dataset.from_list([{"a": 3}]).push_to_hub(NAME, create_pr=True, commit_message="Mine", **mine)
        print(who, "pull request", done.pr_num)
        print("loaded from it", load_dataset(NAME, split="train", revision=done.pr_revision)[:]["a"])
    except HfHubHTTPError as error:
        print(who, "pull request", error.response.status_code)
"""


def test_rights_of_others_who_push(hub: TestHub, tmp_path: Path) -> None:
    owner = hub.repo()
    file = tmp_path / "t.parquet"
    pq.write_table(pa.table({"a": [1]}), file)
    owner.commit({"data/train-00000-of-00001.parquet": file}, "Data")
    out = hub.python(f"NAME = {owner.name!r}\n{RIGHTS}", None, tmp_path / "home")
    assert out.splitlines() == [
        "stranger push 403",
        "stranger pull request 403",
        "contributor push 403",
        "contributor pull request 1",
        "loaded from it [3]",
    ]
    owner.merge(1)
    assert owner.file_ids(under="data") == owner.file_ids("refs/pr/1", under="data")
