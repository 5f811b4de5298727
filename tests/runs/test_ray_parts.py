"""What the Ray runner is made of, without Ray: the books over a wire, and what is said where there is no cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medprm_hf.backends.journals.journal import Entry, Journal, place_names
from medprm_hf.backends.protocol import Completion, Failure, Message, Request, Sampling
from medprm_hf.errors import BudgetError, ConfigError, StoreError
from medprm_hf.runs.ray_books import DistantJournal, DistantLedger, Keeper, Wire, distant_books
from medprm_hf.runs.ray_runner import _places


class Near:
    """Stands for Ray: calls are made at once, in this process."""

    def __init__(self, keeper: Keeper) -> None:
        self.keeper = keeper

    class _Call:
        def __init__(self, keeper: Keeper) -> None:
            self.keeper = keeper

        def remote(self, *values: Any) -> Any:
            return self.keeper.call(*values)

    @property
    def call(self) -> _Call:
        return self._Call(self.keeper)

    def get(self, found: Any) -> Any:
        return found


@pytest.fixture
def near(tmp_path: Path) -> Near:
    return Near(Keeper(str(tmp_path)))


def entry(number: int, outcome: Completion | Failure) -> Entry:
    image = b"not sent"
    request = Request((Message("user", "q", (image,)),), sampling=Sampling(temperature=1.0), key=str(number))
    return Entry(place_names("scripted:x", request)[0], "scripted:x", request, 0, outcome, 7)


def test_a_distant_journal_is_the_runs_own(near: Near, tmp_path: Path) -> None:
    distant = DistantJournal(Wire(near, near))
    entries = [entry(0, Completion("a", "stop", 1)), entry(1, Failure("timeout", "no answer", 3))]
    distant.record(entries)
    names = [one.name for one in entries]
    with Journal(tmp_path / "journal.sqlite") as own:
        assert own.recall(names) == distant.recall(names) and set(own.recall(names)) == {names[0]}
        assert own.failures(names) == distant.failures(names) and distant.failures(names)[names[1]].attempts == 3
    assert distant.query("SELECT count(*) FROM answers") == [(1,)]
    with pytest.raises(ConfigError, match="local runner"), distant.writing():
        pass


def test_no_image_goes_over_the_wire(near: Near, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(near, "get", lambda found: sent.append(found))
    wire = Wire(near, near)
    monkeypatch.setattr(wire, "ask", lambda *values: sent.append(values))
    DistantJournal(wire).record([entry(0, Completion("a", "stop", 1))])
    assert b"not sent" not in repr(sent).encode()


def test_what_the_keeper_meets_is_raised_in_the_worker(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").write_bytes(b"no database at all, but long enough to be told from an empty one" * 20)
    keeper = Near(Keeper(str(tmp_path)))
    with pytest.raises(StoreError, match="is not a journal"):
        DistantJournal(Wire(keeper, keeper)).recall(["a:0"])


def test_the_budget_counts_all_workers(near: Near) -> None:
    prices = {"openai:x": {"input": 1_000_000, "output": 0}}
    one, other = (distant_books(near, near, 3.0, prices) for _ in range(2))
    one.meter.book("openai:x", 2, 0)
    one.meter.close()
    assert other.meter.spent == pytest.approx(2.0)
    other.meter.book("openai:x", 1, 0)
    with pytest.raises(BudgetError):
        other.meter.check()


def test_a_ledger_line_is_whole(near: Near, tmp_path: Path) -> None:
    ledger = DistantLedger(Wire(near, near))
    (tmp_path / "spent.jsonl").write_text('{"half')
    ledger.append("{}\n")
    assert (tmp_path / "spent.jsonl").read_text() == '{"half\n{}\n' and ledger.news(7) == b"{}\n"


class Resources:
    """Ray's word on what a cluster has."""

    def __init__(self, **there: float) -> None:
        self.there = there

    def cluster_resources(self) -> dict[str, float]:
        return self.there


@pytest.mark.parametrize(("cpus", "gpus", "places"), [(1, 0, 8), (3, 0, 2), (1, 1, 2), (0, 0.5, 4), (0, 0, 1)])
def test_places(cpus: float, gpus: float, places: int) -> None:
    assert _places(Resources(CPU=8, GPU=2), cpus, gpus) == places


def test_a_cluster_that_is_too_small() -> None:
    with pytest.raises(ConfigError, match="a shard wants 1 CPU, 1 GPU .* the cluster has 8 CPU, 0 GPU"):
        _places(Resources(CPU=8), 1, 1)
