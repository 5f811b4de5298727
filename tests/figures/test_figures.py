"""The figures: what is kept of a benchmark, what is refused, and that page and README say what results.jsonl says."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from tests.figures import collect, page, plots, readme
from tests.figures.__main__ import OUT, measure
from tests.figures.registry import ROOT, Job, entries, everything, jobs

FIGURE = {"case": "a", "metric": "m", "value": 0.5, "unit": "share", "goal": None, "holds": None}
PARTS = {"label_pictures", "latency_server", "prm_labels", "review_flows", "worlds"}
"""Files of tests/benchmarks that others import: they measure nothing themselves."""
MARKERS = (
    f"README.md has lost its block of figures ({readme.BEGIN} … {readme.END}): run python -m tests.figures --readme"
)


def job_of(tmp_path: Path, body: str, **changes: object) -> Job:
    """A benchmark that does what `body` says."""
    script = tmp_path / "one.py"
    script.write_text(f"import json, sys, time\n{body}\n")
    return replace(Job("evidence", "Topic", "What it shows.", str(script), "quick", "", 0.0), **changes)  # type: ignore[arg-type]


def line_of(**changes: object) -> dict[str, object]:
    about = {"command": "python x --json", "commit": "abc", "machine": "2 cores", "date": "2026-01-01T00:00Z",
             "seeds": [0], "load": [1.0, 1.0], "seconds": 1.0}  # fmt: skip
    return {"benchmark": "evidence", "size": "quick", **FIGURE, "interval": None, **about, **changes}


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is left in runs/."""
    monkeypatch.setattr(collect, "cache", lambda job, commit: str(tmp_path / "cache"))


# --- the table ---------------------------------------------------------------------------------------------------


def test_every_benchmark_stands_in_the_table_and_every_entry_is_one() -> None:
    files = {file.stem for file in (ROOT / "tests" / "benchmarks").glob("*.py")} - PARTS - {"__init__"}
    run = {entry["run"].removeprefix("-m ").replace("/", ".").removesuffix(".py").split(".")[-1] for entry in entries()}
    assert run == files
    names = [entry["name"] for entry in entries()]
    assert len(set(names)) == len(names)


def test_sets() -> None:
    quick, full = jobs(), jobs(full=True)
    assert all(job.size == "quick" for job in quick)
    assert {job.name for job in full} == {entry["name"] for entry in entries()}
    assert sum(job.minutes for job in quick) < 60 < sum(job.minutes for job in full)
    assert [job.key for job in jobs(only=["evidence"])] == [("evidence", "quick")]
    with pytest.raises(ValueError, match="no benchmark is called evidense"):
        jobs(only=["evidense"])


# --- what is kept ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "no figure"),
        ("load average 3", "not one JSON object"),
        (json.dumps([FIGURE]), "without keys"),
        (json.dumps({k: v for k, v in FIGURE.items() if k != "goal"}), "without goal"),
        (json.dumps(FIGURE | {"value": None}), "None as the value"),
        (json.dumps(FIGURE | {"value": True}), "True as the value"),
        (json.dumps(FIGURE | {"value": float("nan")}), "not one JSON object"),
        (json.dumps(FIGURE) + json.dumps(FIGURE), "not one JSON object"),
        (json.dumps(FIGURE) + "\n\n", "not one JSON object"),
    ],
)
def test_lines_that_are_no_figures_are_refused(output: str, reason: str) -> None:
    with pytest.raises(collect.Unusable, match=reason):
        collect.figures_of(output)


def test_a_figure_comes_with_what_it_hangs_on(tmp_path: Path) -> None:
    body = f"print('log', file=sys.stderr)\nprint(json.dumps({FIGURE | {'interval': [0.4, 0.6], 'seeds': [7]}}))"
    [line] = collect.run(job_of(tmp_path, body, seeds=(0, 1)), "abc")
    assert (line["value"], line["interval"], line["seeds"], line["commit"]) == (0.5, [0.4, 0.6], [7], "abc")
    assert line["command"].endswith("one.py --json") and "cores" in line["machine"] and len(line["load"]) == 2
    assert not (tmp_path / "cache").exists(), "its folder is only for stopped runs"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            f"print(json.dumps({FIGURE}))\nraise ValueError('no model in ' + __file__)",
            "ended with 1: ValueError: no mo",
        ),
        ("sys.exit(3)", "ended with 3: it said nothing"),
        ("print('hello')", "not one JSON object"),
    ],
)
def test_a_failure_is_a_reason_and_no_number(body: str, reason: str, tmp_path: Path) -> None:
    [line] = collect.run(job_of(tmp_path, body), "abc")
    assert reason in line["failed"] and "value" not in line
    assert str(tmp_path) not in line["failed"]
    assert "Not measured" in page.section(job_of(tmp_path, body), [line])


def test_too_long_is_a_failure(tmp_path: Path) -> None:
    with pytest.raises(collect.Unusable, match="stopped after"):
        collect._output(f"python {job_of(tmp_path, 'time.sleep(60)').run}", limit=0.5)


def test_what_the_machine_lacks_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(collect, "commit_now", lambda: "abc")
    [line] = collect.run(job_of(tmp_path, "print('never')", needs=("chromium",)), "abc")
    assert line["failed"] == "needs the program chromium, which is not there"


def test_a_stopped_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = ["abc"]
    monkeypatch.setattr(collect, "commit_now", lambda: commit[0])
    count = tmp_path / "count"
    body = f"open({str(count)!r}, 'a').write('x')\nprint(json.dumps({FIGURE}))"
    job = job_of(tmp_path, body)
    (tmp_path / "results.jsonl").write_text(json.dumps(line_of(benchmark="space")) + "\n")
    for _ in range(2):
        assert measure([job], tmp_path, again=False) == 0
    assert count.read_text() == "x", "what is measured for this code is kept"
    measure([job], tmp_path, again=True)
    commit[0] = "def"
    measure([job], tmp_path, again=False)
    assert count.read_text() == "xxx"
    lines = collect.read(tmp_path / "results.jsonl")
    assert [line["benchmark"] for line in lines] == ["evidence", "space"], "others stay, in the table's order"
    assert measure([job_of(tmp_path, "sys.exit(1)")], tmp_path, again=True) == 1
    lines = collect.read(tmp_path / "results.jsonl")
    assert "failed" in lines[0] and not any("value" in line for line in lines[:-1]), "the old number is gone"
    assert not collect.measured(lines, job, "def"), "a failure is tried again"


# --- what is shown -----------------------------------------------------------------------------------------------


def test_a_row_says_goal_interval_and_load() -> None:
    [job] = jobs(only=["evidence"])
    own = [
        line_of(interval=[0.4, 0.6], goal=0.45, holds=True, load=[1.0, 3.4]),
        line_of(metric="n", value=12345, unit="rows"),
    ]
    shown = page.section(job, own)
    assert "| a | m | 0.500 † | 0.400 to 0.600 | 0.450 | yes |" in shown
    assert "12,345 rows" in shown and "load 1 to 3.4 †" in shown and "seeds 0" in shown
    assert "†" not in page.section(job, [line_of()])
    assert "| no (quick size) |" in page.section(job, [line_of(goal=0.9, holds=False)])
    assert "| no |" in page.section(job, [line_of(goal=0.9, holds=False, size="full")])
    assert "0.400 to 0.600 (seeds)" in page.section(job, [line_of(range=[0.4, 0.6])])
    assert "(seeds)" not in page.section(job, [line_of(range=[0.5, 0.5])]), "one seed has no range"


def test_the_long_run_is_shown_where_it_succeeded() -> None:
    quick, full = line_of(), line_of(size="full", value=0.7)
    assert page.shown([quick, full])[0][1] == [full]
    failed = {"benchmark": "evidence", "size": "full", "failed": "needs more"}
    assert page.shown([quick, failed])[0][1] == [quick]


def test_pictures_repeat(tmp_path: Path) -> None:
    [job] = [replace(job, plot={"metric": "m"}) for job in jobs(only=["evidence"])]
    lines = [line_of(case=case, interval=[0.4, 0.6], goal=0.45) for case in "abc"]
    first = plots.draw(job, lines, tmp_path / "one").read_bytes()
    assert first == plots.draw(job, lines, tmp_path / "two").read_bytes() and len(first) < 40_000
    assert not plots.pictured(job, [line_of(metric="other")])


# --- what is committed -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kept() -> list[dict[str, object]]:
    return collect.read(OUT / "results.jsonl")


def test_kept_lines_are_figures_of_the_table(kept: list[dict[str, object]]) -> None:
    keys = {job.key for job in everything()}
    about = {"benchmark", "size", "command", "commit", "machine", "date", "seeds", "load", "seconds"}
    assert kept
    for line in kept:
        assert collect.key_of(line) in keys and about <= set(line)
        assert ("failed" in line) != (set(FIGURE) | {"interval"} <= set(line))
        assert " /" not in str(line["command"]), "a command is one that others can give"


def test_the_page_says_what_was_measured(kept: list[dict[str, object]]) -> None:
    stands = (OUT.parent / "results.md").read_text(encoding="utf-8")
    assert stands == page.text(kept), (
        "docs/results.md is not what results.jsonl says: run python -m tests.figures --page"
    )
    for job, own in page.shown(kept):
        assert plots.pictured(job, own) == (OUT / f"{job.name}.svg").is_file(), job.name


def test_readme_says_what_was_measured(kept: list[dict[str, object]]) -> None:
    stands = readme.between((ROOT / "README.md").read_text(encoding="utf-8"))
    assert stands is not None, MARKERS
    assert stands == readme.block(kept), (
        "README's figures are not those of results.jsonl: python -m tests.figures --readme"
    )


def test_readme_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="put both markers"):
        readme.placed("# no figures here", [])
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    new = readme.placed(text, [line_of(benchmark="phantom_models", case="policy pass@1", metric="share", value=0.55)])
    assert "| policy, temperature 0.8: pass@1 | 0.550 |" in new and "old" not in new
    assert new.startswith("before\n") and new.endswith("\nafter\n")
