"""Builds the folder that is pushed, exactly: card, pictures, Parquet files by config and split, benchmark cases.

    published = build_folder(plan, Path("out"), said={}, repo="org/medmm-prm")
    load_dataset("out")                         the same as  load_dataset("org/medmm-prm")

    out/README.md  medprm.json  assets/*.png  data/solutions/train-00000.parquet  …  benchmark/cases.json

Rows stream: one question is held at a time, and one row group of each file that is being written.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from medprm_hf import formats
from medprm_hf.errors import ConfigError, StoreError
from medprm_hf.ids import files_hash
from medprm_hf.publishing.card import gaps, render
from medprm_hf.publishing.configs import CONFIGS
from medprm_hf.publishing.facts import dataset_facts
from medprm_hf.publishing.opening import SETTINGS_FILE, Row
from medprm_hf.publishing.planning import Plan
from medprm_hf.publishing.plots import draw
from medprm_hf.publishing.privacy import mapped, public_name
from medprm_hf.publishing.tables import MAX_FILE_BYTES, Tables, Written
from medprm_hf.publishing.tally import Tally
from medprm_hf.registry import near
from medprm_hf.schema import SCHEMA_VERSION

BENCHMARK_FILE = "benchmark/cases.json"
_OURS = ("README.md", SETTINGS_FILE, "assets", "data", "benchmark", "contributions")


@dataclass
class Published:
    """A folder that is ready to be pushed."""

    folder: Path
    files: list[Path]
    """Below it, in order."""
    written: dict[str, dict[str, Written]]
    """By config and split."""
    facts: dict[str, Any] = field(default_factory=dict)

    bytes: int = field(init=False)
    """Of all files; kept, since the folder may be a temporary one."""

    def __post_init__(self) -> None:
        self.bytes = sum((self.folder / file).stat().st_size for file in self.files)

    def lines(self) -> list[str]:
        """What would be pushed, one line a config."""
        said = [
            f"{name:10} {split:12} {one.rows:>9,} rows  {one.files:>4} files  {one.bytes:>14,} bytes"
            for name, parts in self.written.items()
            for split, one in parts.items()
        ]
        return [*said, f"in all {len(self.files)} files, {self.bytes:,} bytes: {self.folder}"]


def build_folder(
    plan: Plan,
    out: Path,
    said: Mapping[str, Any],
    repo: str | None = None,
    configs: tuple[str, ...] = (),
    max_bytes: int = MAX_FILE_BYTES,
    adjudicators: tuple[str, ...] = (),
) -> Published:
    """Writes everything into `out`, which must be empty or one of ours; gaps of the card go to the plan's findings."""
    wanted = _configs(configs)
    _make_room(out)
    tally = Tally()
    written = _tables(plan, out, wanted, max_bytes, tally)
    _benchmark(out, written)
    summary = tally.summary()
    draw(summary, out)
    # They stand in the card since `load_dataset` keeps what it has loaded of a local folder by its card's text alone:
    # without them, a folder that was published again would load as it was before.
    digests = {name: files_hash(sorted((out / "data" / name).glob("*.parquet"))) for name in written}
    facts = dataset_facts(plan, summary, written, said, repo, digests)
    for name in gaps(facts):
        plan.findings.add("card", "warning", f"the card says nothing of its {name}", "", f"give {name}: in --card FILE")
    (out / "README.md").write_text(render("dataset.md.j2", facts), encoding="utf-8")
    settings = {
        "kind": "dataset", "schema": SCHEMA_VERSION, "name": facts["title"], "adjudicators": sorted(adjudicators),
        "said": dict(said),
        "counts": {name: {s: asdict(w) for s, w in parts.items()} for name, parts in written.items()},
        "facts": {name: plan.material.facts.get(name) or {} for name in ("run", "report", "recipe")},
    }  # fmt: skip
    _write_settings(out / SETTINGS_FILE, settings, plan)
    files = sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file())
    return Published(out, files, written, facts)


def _configs(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if name not in CONFIGS:
            raise ConfigError(f"--config {name!r} is none of ours{near(name, list(CONFIGS))}")
    # `solutions` is what contributions and later versions are made from, `steps` what contributors compare with.
    return tuple(name for name in CONFIGS if not names or name in names or name in ("solutions", "steps"))


def _make_room(out: Path) -> None:
    """An empty folder; what an earlier call left there goes, anything else is refused."""
    if out.exists():
        found = sorted(path.name for path in out.iterdir())
        if found and not (out / SETTINGS_FILE).is_file():
            raise StoreError(f"{out} holds other things ({', '.join(found[:3])}): name an empty folder with --out")
        for name in _OURS:
            path = out / name
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
    out.mkdir(parents=True, exist_ok=True)
    # First of all, so that a folder left half-way is known as ours and can be written again.
    (out / SETTINGS_FILE).write_text('{"kind": "unfinished"}\n', encoding="utf-8")


def _tables(
    plan: Plan, out: Path, wanted: tuple[str, ...], max_bytes: int, tally: Tally
) -> dict[str, dict[str, Written]]:
    tables = Tables(out, max_bytes)
    for rows in questions_of(plan):
        for row in rows:
            tally.add(row)
        for name in wanted:
            if name != "benchmark":
                tables.add(CONFIGS[name], rows[0]["split"], rows, plan.phash)
        verified = [row for row in rows if row["solution_id"] in plan.benchmark]
        if verified and "benchmark" in wanted:
            tables.add(CONFIGS["benchmark"], "test", verified, plan.phash)
    written = tables.close()
    return {
        name: {split: written[name][split] for split in ("train", "development", "test") if split in written[name]}
        for name in wanted
        if name in written
    }


def questions_of(plan: Plan) -> Iterator[list[Row]]:
    """Published rows, those of one question together."""
    for _, rows in groupby(plan.rows(), key=lambda row: row["question_id"]):
        yield list(rows)


def _benchmark(out: Path, written: Mapping[str, Any]) -> None:
    """The benchmark as case JSON, read back from its Parquet files, so nothing is held."""
    if "benchmark" not in written:
        return
    (out / "benchmark").mkdir(exist_ok=True)
    rows = (row for file in sorted((out / "data" / "benchmark").glob("*.parquet")) for row in formats.read(file))
    report = formats.write(rows, out / BENCHMARK_FILE, "case-json", include_dropped=True)
    if report.rejected_path:  # its row stands in the Parquet file; the reason is no part of a dataset
        Path(report.rejected_path).unlink()


def _write_settings(file: Path, settings: dict[str, Any], plan: Plan) -> None:
    """What a later version needs to know of the run; of it only what a card may say."""
    run, report = settings["facts"]["run"], settings["facts"]["report"]
    settings["facts"] = {
        "run": {name: run[name] for name in ("name", "recipe", "versions", "counts", "money") if name in run},
        "report": {name: report[name] for name in ("simulated", "agreement", "money") if name in report},
        "recipe": {},
    }
    settings["benchmark"] = plan.policy.benchmark
    settings["facts"] = mapped(settings["facts"], lambda text: public_name(text) or "")
    file.write_text(json.dumps(settings, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
