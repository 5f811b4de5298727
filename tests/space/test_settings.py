"""Settings of the Space: from variables, from the command line, and the folder that a Space is made of."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from medprm_hf.app.commands import SPACE_FILES, write_space
from medprm_hf.app.settings import AppSettings
from medprm_hf.errors import ConfigError


def test_variables_are_read_by_their_type() -> None:
    found = AppSettings.from_env(
        {
            "MEDPRM_PRM": "org/prm", "MEDPRM_DATASETS": "org/a, org/b,", "MEDPRM_BLIND": "1", "MEDPRM_LANG": " ",
            "MEDPRM_SCORES_PER_MINUTE": "5", "MEDPRM_STORE": "/data/r.sqlite", "MEDPRM_ROLES": "roles.yaml",
        }
    )  # fmt: skip
    assert (found.prm, found.datasets, found.blind, found.lang) == ("org/prm", ("org/a", "org/b"), True, "en")
    assert (found.scores_per_minute, found.store, found.roles) == (5, Path("/data/r.sqlite"), Path("roles.yaml"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [("BLIND", "maybe", "1 or 0"), ("LANG", "eng", "en"), ("SCORES_PER_MINUTE", "many", "no int")],
)
def test_values_that_cannot_be_read_are_refused(name: str, value: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        AppSettings.from_env({f"MEDPRM_{name}": value})


def test_the_phantom_writes_beside_its_own_model_only() -> None:
    assert AppSettings().writes_with == "phantom:policy"
    assert AppSettings(prm="org/prm").writes_with is None
    assert AppSettings(prm="org/prm", writer="openai:x").writes_with == "openai:x"


def test_a_space_can_be_written_and_says_what_it_is(tmp_path: Path) -> None:
    lines = write_space(tmp_path / "mine")
    assert sorted(file.name for file in (tmp_path / "mine").iterdir()) == sorted(SPACE_FILES)
    assert "hf upload" in lines[-1]
    _, head, text = (tmp_path / "mine" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    said = yaml.safe_load(head)
    assert (said["sdk"], said["app_file"], said["hf_oauth"]) == ("gradio", "app.py", True)
    assert len(said["short_description"]) <= 60 and "not for clinical use" in text
    with pytest.raises(ConfigError, match="not empty"):
        write_space(tmp_path / "mine")


def test_every_variable_of_the_readme_is_a_setting() -> None:
    import re
    from dataclasses import fields

    text = (Path(__file__).parents[2] / "space" / "README.md").read_text(encoding="utf-8")
    known = {f"MEDPRM_{item.name.upper()}" for item in fields(AppSettings)}
    told = set(re.findall(r"MEDPRM_[A-Z_]+", text))
    assert told <= known
    assert known - told == {"MEDPRM_DEVICE"}  # a Space's hardware decides that


def test_the_gradio_of_the_header_is_the_installed_one() -> None:
    from importlib.metadata import version

    text = (Path(__file__).parents[2] / "space" / "README.md").read_text(encoding="utf-8")
    assert f"sdk_version: {version('gradio')}" in text
