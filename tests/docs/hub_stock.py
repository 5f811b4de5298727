"""What the pages take as given on the Hub, put on the local one under the pages' names.

org/name             a dataset with a folder old/            org/prm      the shipped PRM
Qwen/Qwen2.5-VL-3B-Instruct      the phantom world's base, in place of the default model of `medprm train`
flaviagiammarino/vqa-rad, …      tiny copies of the sources that pages import
"""

from __future__ import annotations

from pathlib import Path

from medprm_hf.hub import HubRepo, Kind
from medprm_hf.specs_train import TrainSpec
from tests.hub.fixtures import TestHub
from tests.sources.layouts import LAYOUTS
from tests.sources.layouts_questions import medqa
from tests.sources.test_from_hub import upload as source

SOURCES = ("vqa_rad", "slake")


def stock(hub: TestHub, folder: Path) -> None:
    """Puts all of it there; asked again, it is as before."""
    from medprm_hf.phantom.model import checkpoint

    upload(hub, "org/prm", checkpoint("prm"), "model")
    upload(hub, TrainSpec().model, checkpoint("base"), "model")
    named = HubRepo("org/name", "dataset", hub.token("owner"), hub.url)
    named.create(private=False)
    named.commit({"old/a.txt": b"to be deleted"}, "for the guide")
    for name in SOURCES:
        (folder / name).mkdir(parents=True)
        LAYOUTS[name](folder / name)
        source(hub, name, folder / name)


def upload(hub: TestHub, name: str, folder: Path, kind: Kind) -> None:
    """A folder's files as one commit."""
    repo = HubRepo(name, kind, hub.token("owner"), hub.url)
    repo.create(private=False)
    repo.commit({str(file.relative_to(folder)): file for file in folder.rglob("*") if file.is_file()}, "for the guide")


def local_sources(folder: Path) -> None:
    """The local copies that docs/sources.md reads, where it reads them."""
    for path, write in (
        ("data_clean/questions/US", lambda at: medqa(at, "ABCDE")),
        ("copy/of/HAM10000", LAYOUTS["ham10000"]),
    ):
        (folder / path).mkdir(parents=True)
        write(folder / path)
