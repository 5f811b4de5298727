"""Prices, meter, ledger and books: what is known, local and unknown, and a budget that holds over processes."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medprm_hf.backends.books import books, open_books
from medprm_hf.backends.keys import has_key, load_keys
from medprm_hf.backends.money import image_tokens as rules
from medprm_hf.backends.money import ledger as ledgers
from medprm_hf.backends.money.ledger import Ledger
from medprm_hf.backends.money.meter import Meter
from medprm_hf.backends.money.prices import PriceTable, on_private_network
from medprm_hf.backends.money.tally import Tally, money
from medprm_hf.errors import BudgetError, ConfigError

MINI = "openai:gpt-4o-mini"


@pytest.mark.parametrize(
    ("identity", "local", "prompt", "completion", "settings", "usd"),
    [
        (MINI, False, 1_000_000, 0, {}, 0.15),
        (MINI, False, 0, 1_000_000, {}, 0.60),
        (MINI, False, 1_000_000, 0, {"cached_tokens": 1_000_000}, 0.075),
        (MINI, False, 1_000_000, 1_000_000, {"batch": True}, 0.375),
        ("openai:gpt-4o-mini-2024-07-18", False, 1_000_000, 0, {}, 0.15),
        ("gemini:gemini-2.0-flash-001", False, 1_000_000, 1_000_000, {}, 0.50),
        ("gemini:gemini-2.5-pro", False, 200_000, 0, {}, 0.25),
        ("gemini:gemini-2.5-pro", False, 200_001, 0, {}, 0.5000025),
        ("openai:Qwen/Qwen2.5-VL-7B-Instruct", True, 10**9, 10**9, {}, 0.0),
        ("phantom:policy", False, 10**9, 10**9, {}, 0.0),
        (MINI, True, 10**9, 0, {}, 0.0),
    ],
)
def test_cost(identity: str, local: bool, prompt: int, completion: int, settings: dict[str, Any], usd: float) -> None:
    tariff = PriceTable().tariff(identity, local)
    assert tariff is not None
    assert tariff.cost(prompt, completion, **settings) == pytest.approx(usd)


@pytest.mark.parametrize(
    "identity", ["openai:gpt-99", "somebody:gpt-4o-mini", "gpt-4o-mini", "openai:gpt-4o-mini-mine"]
)
def test_an_unknown_price_is_unknown_and_never_zero(identity: str) -> None:
    assert PriceTable().tariff(identity) is None
    meter = Meter()
    assert meter.book(identity, 1000, 1000) is None
    tally = meter.totals()["", identity]
    assert tally.cost is None
    assert tally.as_dict()["cost"] is None
    assert Tally.of(tally.as_dict()).cost is None


def test_own_prices_go_before_the_list(tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text("openai:gpt-4o-mini: {input: 1, output: 2}\nopenai:mine: {input: 3, output: 0}\n")
    table = PriceTable(file, extra={"openai:mine": {"input": 4, "output": 0}})
    assert table.tariff(MINI).cost(10**6, 10**6) == 3  # type: ignore[union-attr]
    assert table.tariff("openai:mine").cost(10**6, 0) == 4  # type: ignore[union-attr]
    assert table.tariff("openai:mine", local=True).cost(10**6, 0) == 4  # type: ignore[union-attr]
    assert table.tariff("openai:gpt-4o").cost(10**6, 0) == 2.5  # type: ignore[union-attr]
    assert table.tariff(MINI).batch == 0.5  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gpt-4o: {input: 1, output: 1}", "PROVIDER:MODEL"),
        ("openai:x: {input: 1}", "output=None is no price"),
        ("openai:x: {input: -1, output: 1}", "input=-1 is no price"),
        ("- 1", "holds a list"),
        ("a: [", "is not YAML"),
    ],
)
def test_a_price_file_that_cannot_be_used(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        PriceTable(file).tariff(MINI)
    with pytest.raises(ConfigError, match="no price file"):
        PriceTable(tmp_path / "none.yaml").tariff(MINI)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.0.0.1:8000/v1", True),
        ("http://localhost:8000/v1", True),
        ("http://[::1]:8000/v1", True),
        ("http://10.1.2.3/v1", True),
        ("http://gpu7:8000/v1", True),
        ("http://vllm.cluster.local/v1", True),
        ("https://api.openai.com/v1", False),
        ("https://api.somebody.ai/v1", False),
        ("https://8.8.8.8/v1", False),
    ],
)
def test_which_servers_are_ones_own(url: str, own: bool) -> None:
    assert PriceTable().is_local(url) is own
    assert PriceTable(extra={"free_hosts": ["api.somebody.ai"]}).is_local("https://api.somebody.ai/v1")
    assert PriceTable().provider_of("https://api.openai.com/v1") == "openai"
    assert on_private_network("192.168.0.1")


@pytest.mark.parametrize(
    ("width", "height", "rule", "tokens"),
    [
        (1024, 1024, {"rule": "tiles", "base": 85, "tile": 170}, 765),
        (2048, 4096, {"rule": "tiles", "base": 85, "tile": 170}, 1105),
        (512, 512, {"rule": "tiles", "base": 2833, "tile": 5667}, 8500),
        (1024, 1024, {"rule": "patches", "factor": 1.0}, 1024),
        (1800, 2400, {"rule": "patches", "factor": 1.0}, 1452),
        (384, 384, {"rule": "crops"}, 258),
        (1024, 1024, {"rule": "crops"}, 1032),
        (56, 56, {}, 4),
        (1024, 1024, {}, 1369),
    ],
)
def test_image_tokens(width: int, height: int, rule: dict[str, Any], tokens: int) -> None:
    assert rules.image_tokens(width, height, rule) == tokens


@pytest.mark.parametrize(
    ("usd", "words"),
    [(None, "unknown"), (0, "$0.00"), (12.3, "$12.30"), (0.00036, "$0.00036"), (0.25, "$0.25"), (4300, "$4,300.00")],
)
def test_money(usd: float | None, words: str) -> None:
    assert money(usd) == words


def test_the_meter_books_by_stage_and_stops_at_the_budget() -> None:
    meter = Meter(budget=2.0)
    with meter.stage("judge"):
        meter.check()
        meter.book(MINI, 1_000_000, 1_000_000)
        meter.fail(MINI, "timeout", 3)
        meter.found(MINI, 5)
    meter.check()
    assert meter.spent == pytest.approx(0.75)
    with pytest.raises(BudgetError, match=r"\$0\.75 of the budget of \$2\.00"):
        meter.check(in_flight=2)  # they and the next may cost as much as the last
    before = meter.totals()
    meter.book(MINI, 2_000_000, 0)
    meter.check()
    meter.book(MINI, 8_000_000, 0)
    with pytest.raises(BudgetError):
        meter.check()
    assert before["judge", MINI].as_dict() | {"cost": 0.75} == before["judge", MINI].as_dict()
    assert before["judge", MINI].failures == {"timeout": 3}
    assert before["judge", MINI].from_journal == 5
    assert list(meter.since(before)) == [("", MINI)]
    assert meter.since(before)["", MINI].cost == pytest.approx(1.5)


def test_a_budget_below_zero_is_refused() -> None:
    with pytest.raises(ConfigError, match="below 0"):
        Meter(budget=-1)


counts = st.integers(0, 10**6)
tallies = st.builds(Tally, counts, counts, counts, counts, counts, st.none() | st.floats(0, 100), st.booleans())


@given(tallies, tallies)
def test_what_is_added_can_be_taken_away(first: Tally, second: Tally) -> None:
    both = Tally()
    both.add(first)
    both.add(second)
    news = both.minus(first)
    assert (news.requests, news.completions, news.prompt_tokens) == (
        second.requests,
        second.completions,
        second.prompt_tokens,
    )
    if first.cost is not None and second.cost is not None:
        assert news.cost == pytest.approx(second.cost)
    elif second.requests:
        assert news.cost is None


def spend(file: Path, times: int) -> None:
    with open_books(ledger=file) as own:
        for _ in range(times):
            own.meter.book(MINI, 1_000_000, 0)


def test_the_ledger_adds_up_sessions_and_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledgers, "EVERY", 0.0)
    file = tmp_path / "spent.jsonl"
    spend(file, 2)
    workers = [multiprocessing.get_context("spawn").Process(target=spend, args=(file, 3)) for _ in range(2)]
    with open_books(ledger=file, budget=1.2) as own:
        own.meter.book(MINI, 1_000_000, 0)
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert [worker.exitcode for worker in workers] == [0, 0]
        assert own.meter.spent == pytest.approx(0.15 * 9)
        with pytest.raises(BudgetError):
            own.meter.check()
    assert Ledger(file).totals()["", MINI].requests == 9


def test_half_a_line_of_a_killed_process_is_passed_over(tmp_path: Path) -> None:
    file = tmp_path / "spent.jsonl"
    spend(file, 1)
    whole = file.read_bytes()
    file.write_bytes(whole + whole[: len(whole) // 2])
    spend(file, 1)
    assert Ledger(file).spent == pytest.approx(0.30)
    assert all(json.loads(line) for line in file.read_text().splitlines()[::2])


def test_books_are_handed_on_by_the_environment(tmp_path: Path) -> None:
    outside = books()
    with open_books(budget=3, ledger=tmp_path / "spent.jsonl") as own:
        assert books() is own
        assert os.environ["MEDPRM_BUDGET"] == "3"
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            assert pool.apply(_budget) == 3.0
    assert books() is outside
    assert "MEDPRM_BUDGET" not in os.environ


def _budget() -> float | None:
    return books().meter.budget


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("A_KEY=abc", "A_KEY", "abc"),
        ("export A_KEY = 'a b#c'", "A_KEY", "a b#c"),
        ('A_TOKEN="abc" # said', "A_TOKEN", "abc"),
        ("A_KEY=abc # said", "A_KEY", "abc"),
        ("PYTHONPATH=/x", None, None),
        ("# A_KEY=abc", None, None),
        ("A_KEY=", None, None),
    ],
)
def test_dotenv(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, name: str | None, value: str | None
) -> None:
    for known in ("A_KEY", "A_TOKEN"):
        monkeypatch.setenv(known, "")
    (tmp_path / ".env").write_text(f"\n{line}\n")
    assert load_keys(tmp_path) == ([name] if name else [])
    if name:
        assert os.environ[name] == value
        assert has_key("B_KEY", name) == name
        assert load_keys(tmp_path) == []


def test_without_dotenv(tmp_path: Path) -> None:
    assert load_keys(tmp_path) == []
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    assert load_keys(tmp_path) == []
