"""A short version of the load benchmark: real server, simulated reviewers, one kill -9, nothing lost or doubled."""

from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("fastapi")
from tests.benchmarks.space_load import measure


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_under_load(tmp_path: Path) -> None:
    figures = {(one["case"], one["metric"]): one for one in measure(6000, 8, 0.5, tmp_path, full=3.0)}
    kept = ("lost", "doubled", "not as sent", "decided by two")
    assert {figures["all", f"decisions {name}"]["value"] for name in kept} == {0}
    assert figures["all", "items held by two at once"]["value"] == 0
    assert figures["all", "decisions stored"]["value"] > 50
    assert figures["dense, killed", "requests sent again"]["value"] > 0
