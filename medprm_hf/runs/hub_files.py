"""Which files of a run belong on the Hub, and which of them it lacks.

    groups(Path("runs/demo"), ("source", "generate"))
    # [(…/source/00000.parquet, …/source/00000.json), (…/source/all.json,), …, (recipe.yaml,), (spent.jsonl,)]

A group lands in one commit: a shard's table never without its marker. What a stage has learnt goes before its shards,
the source's own mark after them, so that a branch that was pushed half reads as a run that is half done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from medprm_hf.runs.money import LEDGER, PRICES
from medprm_hf.runs.pipeline import LEARNT, RECIPE

Group = tuple[Path, ...]
"""Files that only make sense together, the one that says that all are there last."""
REPORTS = ("run.json", "dropped.jsonl", "report.json", "report.html")
"""What a finished run tells of itself; dataset and exports are for `medprm publish`."""


def groups(directory: Path, stages: Sequence[str], finished: bool = False) -> Iterator[Group]:
    """All groups of a run in the order in which they are pushed; with its reports where it is `finished`."""
    for name in (RECIPE, PRICES):
        if (directory / name).is_file():
            yield (directory / name,)
    for stage in stages:
        yield from _of_stage(directory / "shards" / stage)
    for name in (LEDGER, *(REPORTS if finished else ())):
        if (directory / name).is_file():
            yield (directory / name,)


def _of_stage(folder: Path) -> Iterator[Group]:
    notes = sorted(folder.glob("*.json")) + sorted(folder.glob("*.jsonl"))
    yield from ((note,) for note in notes if note.stem == LEARNT)
    for marker in (note for note in notes if note.stem.isdigit()):
        table = marker.with_suffix(".parquet")
        if table.is_file() and _whole(table, marker):
            yield table, marker
    yield from ((note,) for note in notes if note.stem != LEARNT and not note.stem.isdigit())


def _whole(table: Path, marker: Path) -> bool:
    """Whether the marker is this table's: it is written after it, and a shard that is being done again has none yet."""
    return table.stat().st_mtime_ns <= marker.stat().st_mtime_ns


def is_shard(group: Group) -> bool:
    """Whether a group is a shard's."""
    return len(group) == 2


def same_content(file: Path, known: str) -> bool:
    """Whether a file is what the Hub holds under this git hash, as a small file or as a large one's pointer."""
    data = file.read_bytes()
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(data).hexdigest()}\nsize "
    return known in (_git_hash(data), _git_hash(f"{pointer}{len(data)}\n".encode()))


def _git_hash(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def lacking(directory: Path, there: Iterable[str]) -> tuple[list[str], list[str]]:
    """Of a branch's files those that a run directory has not: tables first, then what says that they are whole.

    A shard that is finished here stays as it is, also where the branch holds another.
    """
    shards = {path for path in there if path.startswith("shards/")}
    finished = {path for path in shards if (directory / path).is_file() and _is_finished(directory / path)}
    wanted = [path for path in sorted(shards) if path not in finished and not _beside(path, finished)]
    tables = [path for path in wanted if path.endswith(".parquet")]
    rest = [path for path in wanted if not path.endswith(".parquet")]
    complete = {path.removesuffix(".parquet") for path in tables}
    halves = [p for p in rest if Path(p).stem.isdigit() and p.removesuffix(".json") not in complete]
    return tables, sorted((p for p in rest if p not in halves), key=lambda path: not Path(path).stem.isdigit())


def _is_finished(file: Path) -> bool:
    """A note that is there, or a table or marker whose other half is there too."""
    if not file.stem.isdigit():
        return True
    return file.with_suffix(".json").is_file() and file.with_suffix(".parquet").is_file()


def _beside(path: str, finished: set[str]) -> bool:
    other = ".json" if path.endswith(".parquet") else ".parquet"
    return Path(path).stem.isdigit() and path.rpartition(".")[0] + other in finished


def counted(pushed: Sequence[Group], directory: Path) -> str:
    """`40 shards: generate 12, rollout 28`, or the names of single files."""
    stages: dict[str, int] = {}
    for group in filter(is_shard, pushed):
        stages[group[0].parent.name] = stages.get(group[0].parent.name, 0) + 1
    if not stages:
        return ", ".join(str(group[-1].relative_to(directory)) for group in pushed)
    return f"{sum(stages.values())} shards: {', '.join(f'{stage} {count}' for stage, count in stages.items())}"


def contents(directory: Path, pushed: Iterable[Group]) -> Mapping[str, bytes | Path]:
    """What stands at each path of a commit; small files as the bytes that they hold now, for they may grow."""
    files = (file for group in pushed for file in group)
    return {str(f.relative_to(directory).as_posix()): f if f.suffix == ".parquet" else f.read_bytes() for f in files}
