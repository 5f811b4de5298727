"""A run: a recipe carried out shard by shard, so that what is done survives a crash, a Ctrl-C or a closed laptop.

    run = Run.open(Path("runs/demo"), recipe)
    run.build()                  # does what is not done; a second call does nothing

Each stage's shard carries a fingerprint of its spec and of what it reads; a shard whose marker has that
fingerprint is not done again, so a changed recipe redoes only what depends on the change.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any, cast

import yaml

from medprm_hf.backends import open_backend
from medprm_hf.backends.books import books
from medprm_hf.backends.open import identity_of
from medprm_hf.backends.protocol import Usage
from medprm_hf.errors import ConfigError, PendingError, StoreError
from medprm_hf.formats import open_format
from medprm_hf.ids import content_hash
from medprm_hf.loading import open_source
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.money import check_budget, run_books
from medprm_hf.runs.shards import ROW, SOURCE, Shards
from medprm_hf.schema import BY_NAME, COLUMNS, SCHEMA_VERSION, written_by
from medprm_hf.specs import backends_of
from medprm_hf.stages import stage_of
from medprm_hf.stages.base import Batch, Learner, Stage

Progress = Callable[[str, int, int], None]
"""Called with (stage, shards done, shards in all) after each shard."""
SOURCE_COLUMNS = (*written_by("sources"), "split")
"""What a source may write; its split is a wish that the questions stage settles."""


def _silent(stage: str, done: int, total: int) -> None:
    """The default progress: none."""


@dataclass(frozen=True)
class Run:
    """One run directory and the recipe that fills it."""

    directory: Path
    recipe: Recipe
    stages: tuple[Stage, ...] = field(repr=False)

    @classmethod
    def open(cls, directory: Path, recipe: Recipe) -> Run:
        """Prepares a directory for a recipe; everything that cannot work is refused here, before a model call."""
        stages = tuple(stage_of(recipe, name) for name in recipe.stages)
        check_order(stages)
        run = cls(directory, recipe, stages)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            (directory / "recipe.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
        except OSError as error:
            raise StoreError(f"cannot write to {directory}: {error.strerror or error}") from error
        return run

    @classmethod
    def resume(cls, directory: Path, settings: tuple[str, ...] = ()) -> Run:
        """The run that a directory holds, with settings such as `budget=40` changed."""
        file = directory / "recipe.yaml"
        if not file.is_file():
            raise StoreError(f"{directory} holds no run (no recipe.yaml): start one with `medprm build RECIPE`")
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        return cls.open(directory, parse(data, settings, where=str(file)))

    @property
    def shards(self) -> Shards:
        """The run's shard files."""
        return Shards(self.directory)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the finished table, in the schema's order."""
        written = {*SOURCE_COLUMNS, *(name for stage in self.stages for name in stage.writes), "errors"}
        return tuple(column.name for column in COLUMNS if column.name in written)

    def build(self, progress: Progress = _silent) -> int:
        """Does what is not done, stage after stage; gives the number of shards that were worked on."""
        for name in self.recipe.exports:
            open_format(name)
        with run_books(self.directory, self.recipe) as own:
            todo = [s for i, s in enumerate(self.stages) if self.done(i) < max(1, self.shard_count())]
            for stage in todo:
                stage.check()
            specs = [spec for stage in todo for spec in backends_of(stage)]
            check_budget(self.recipe, map(identity_of, map(open_backend, specs)), own.meter.prices)
            count = self._source(progress)
            return sum(self._stage(number, count, progress) for number in range(len(self.stages)))

    def shard_count(self) -> int:
        """Shards of the source; 0 before the source was read."""
        marker = self.shards.marker(SOURCE, 0)
        return int(marker["shards"]) if marker else 0

    def done(self, stage: int) -> int:
        """Shards of a stage that are finished for this recipe."""
        wanted, name = self.fingerprint(stage), self.stages[stage].name
        markers = (self.shards.marker(name, number) for number in range(self.shard_count()))
        return sum(marker is not None and marker["fingerprint"] == wanted for marker in markers)

    def fingerprint(self, stage: int) -> str:
        """Hash of a stage's spec and of the stages that write what it reads (-1: the source)."""
        if stage < 0:
            return content_hash(SCHEMA_VERSION, self.recipe.source.model_dump_json(), self.recipe.shard_questions)
        here = self.stages[stage]
        needed = [self.fingerprint(i) for i in self._upstream(stage)]
        return content_hash(SCHEMA_VERSION, str(here.name), repr(here), needed)

    def _upstream(self, stage: int) -> list[int]:
        """Indices of the earlier stages (and -1) that `stage` depends on: what it reads, and who made the rows."""
        reads = _readable(self.stages[stage], self.stages[:stage])
        return [-1] + [
            i
            for i, earlier in enumerate(self.stages[:stage])
            if earlier.name == "generate" or set(earlier.writes) & set(reads)
        ]

    def _source(self, progress: Progress) -> int:
        marker = self.shards.marker(SOURCE, 0)
        if marker and marker["fingerprint"] == self.fingerprint(-1):
            return int(marker["shards"])
        rows = open_source(self.recipe.source.name, **self.recipe.source.options())
        pieces = list(_pieces(rows, self.recipe.shard_questions))
        if not pieces:
            raise ConfigError(f"source {self.recipe.source.name} gave no questions: see its options")
        _check_unique(pieces)
        for number, piece in reversed(list(enumerate(pieces))):  # shard 0, whose marker counts, comes last
            columns = {name: [row[name] for row in piece] for name in SOURCE_COLUMNS}
            marker = {"fingerprint": self.fingerprint(-1), "rows": len(piece), "shards": len(pieces)}
            self.shards.write(SOURCE, number, columns, marker)
        progress(SOURCE, len(pieces), len(pieces))
        return len(pieces)

    def _stage(self, index: int, count: int, progress: Progress) -> int:
        name, fingerprint = self.stages[index].name, self.fingerprint(index)
        markers = (self.shards.marker(name, number) for number in range(count))
        todo = [n for n, marker in enumerate(markers) if not marker or marker["fingerprint"] != fingerprint]
        stage = self._taught(index, count, fingerprint) if todo else self.stages[index]
        progress(name, count - len(todo), count)
        done, pending = count - len(todo), []
        for number in todo:
            try:
                self._shard(stage, index, number, fingerprint)
            except PendingError as error:  # its batch is submitted: so may the other shards' be
                pending.append(error)
                continue
            done += 1
            progress(name, done, count)
        if pending:
            raise PendingError(f"{name}: {len(pending)} of {count} shards wait for batches. {pending[0]}", "batch")
        return len(todo)

    def _taught(self, index: int, count: int, fingerprint: str) -> Stage:
        """The stage as it works on shards: one that learns from the whole run has learnt, once."""
        stage = self.stages[index]
        if not isinstance(stage, Learner):
            return stage
        known = self.shards.learnt(stage.name)
        if not known or known["fingerprint"] != fingerprint:
            before = books().meter.totals()
            with books().meter.stage(str(stage.name)):
                learnt = stage.learn(self._batch(index, n) for n in range(count))
            spent = {identity: tally.as_dict() for (_, identity), tally in books().meter.since(before).items()}
            known = {"fingerprint": fingerprint, "learnt": learnt, "spent": spent}
            self.shards.write_learnt(stage.name, known)
        return cast(Stage, replace(cast(Any, stage), learnt=known["learnt"]))

    def _batch(self, index: int, number: int) -> Batch:
        """What a stage is given of a shard."""
        return self.table(number, _readable(self.stages[index], self.stages[:index]), index)

    def _shard(self, stage: Stage, index: int, number: int, fingerprint: str) -> None:
        batch = self._batch(index, number)
        size = len(batch["question_id"])
        batch[ROW] = list(range(size))
        started, usages = time.perf_counter(), _fresh_usages(stage)
        meter = books().meter
        before = meter.totals()
        with meter.stage(str(stage.name)):
            added = stage(batch)
        marker = {
            "fingerprint": fingerprint,
            "rows": len(added["errors"]),
            "errors": sum(len(errors) for errors in added["errors"]),
            "seconds": round(time.perf_counter() - started, 3),
            "usage": sum(usages[1:], usages[0]).as_dict() if usages else {},
            "spent": {identity: tally.as_dict() for (_, identity), tally in meter.since(before).items()},
        }
        kept = (*stage.writes, "errors", *((ROW,) if stage.name == "generate" else ()))
        self.shards.write(stage.name, number, {name: added[name] for name in kept}, marker)

    def table(self, number: int, names: Iterable[str], upto: int | None = None) -> Batch:
        """The named columns of a shard as the stages before `upto` (default: all) left them, row for row.

        Question columns are repeated for every solution of the question; `errors` gathers every stage's.
        """
        before = self.stages if upto is None else self.stages[:upto]
        wanted = tuple(dict.fromkeys(("question_id", *names)))
        batch = self._part(SOURCE, number, wanted)
        errors: list[list[Any]] = [[] for _ in batch["question_id"]]
        for stage in before:
            part = self._part(stage.name, number, (*wanted, ROW, "errors"))
            parents = part.pop(ROW, None)
            if parents is not None:
                batch = {name: [values[i] for i in parents] for name, values in batch.items()}
                errors = [errors[i] for i in parents]
            errors = [[*old, *new] for old, new in zip(errors, part.pop("errors"), strict=True)]
            batch.update(part)
        if "errors" in wanted:
            batch["errors"] = errors
        lacking = [name for name in wanted if name not in batch]
        if upto is None and lacking:
            raise StoreError(
                f"{self.directory} was made by an earlier version and lacks {', '.join(lacking)} (today's table is "
                f"version {SCHEMA_VERSION}): `medprm resume {self.directory}` does what is missing"
            )
        return batch

    def _part(self, stage: str, number: int, names: tuple[str, ...]) -> Batch:
        there = set(self.shards.columns(stage, number))
        return self.shards.read(stage, number, tuple(name for name in names if name in there))


def check_order(stages: tuple[Stage, ...]) -> None:
    """Refuses an order in which a stage reads what nobody has written; ConfigError says who should have."""
    there = set(SOURCE_COLUMNS)
    for stage in stages:
        for name in stage.reads:
            if name not in there:
                writer = BY_NAME[name].stage
                raise ConfigError(
                    f"stages: {stage.name} reads the column {name!r}, which {writer} writes: put {writer} before "
                    f"{stage.name} (now: {', '.join(str(s.name) for s in stages)})"
                )
        there |= set(stage.writes)


def _readable(stage: Stage, before: tuple[Stage, ...]) -> tuple[str, ...]:
    there = {*SOURCE_COLUMNS, *(name for earlier in before for name in earlier.writes)}
    return (*stage.reads, *(name for name in stage.uses if name in there))


def _check_unique(pieces: list[list[dict[str, Any]]]) -> None:
    seen: set[str] = set()
    for row in (row for piece in pieces for row in piece):
        if row["question_id"] in seen:
            raise ConfigError(f"the source gives question_id {row['question_id']!r} twice: ids must be unique")
        seen.add(row["question_id"])


def _pieces(rows: Iterator[dict[str, Any]], size: int) -> Iterator[list[dict[str, Any]]]:
    while piece := list(islice(rows, size)):
        yield piece


def _fresh_usages(stage: Stage) -> list[Usage]:
    """Lets the stage's backends count from zero: each shard's marker holds what that shard asked, nothing older."""
    opened = [open_backend(spec) for spec in backends_of(stage)]
    for backend in opened:
        backend.usage = Usage()
    return [backend.usage for backend in opened]


def dump_recipe(recipe: Recipe) -> str:
    """The whole recipe as YAML, defaults included, so that a run says everything it was made with."""
    text: str = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def versions() -> dict[str, str]:
    """Versions that can change a result."""
    names = ("medprm-hf", "datasets", "numpy", "pillow", "pyarrow")
    return {name: version(name) for name in names}


def identity(run: Run) -> dict[str, Any]:
    """What a run was made of: name, fingerprint of its recipe, versions that can change a result."""
    return {"name": run.recipe.name, "recipe": run.recipe.fingerprint(), "versions": versions()}
