"""A run: a recipe carried out shard by shard, so that what is done survives a crash, a Ctrl-C or a closed laptop.

    run = Run.open(Path("runs/demo"), recipe)
    run.build()                  # does what is not done; a second call does nothing

Each stage's shard carries a fingerprint of its spec, of what it has learnt, and of what it reads of this shard, back
to the digest of the source's rows. A shard whose marker has that fingerprint is not done again: a changed recipe redoes
the stages that depend on the change, a changed input file the shards whose rows have changed.

    run.source().read()                    # shard by shard; then, stage after stage,
    stage = run.taught(2)                  # what it learns from the whole run, once
    for number in run.todo(2):             # in any order, in any process
        run.do_shard(2, number, stage)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import yaml

from medprm_hf.backends import open_backend
from medprm_hf.backends.books import books
from medprm_hf.backends.open import identity_of
from medprm_hf.backends.stopping import check_stop
from medprm_hf.errors import ConfigError, PendingError, StoreError
from medprm_hf.formats import open_format
from medprm_hf.ids import content_hash
from medprm_hf.recipe import Recipe, parse
from medprm_hf.runs.lock import refuse_another_recipe
from medprm_hf.runs.money import check_budget, run_books
from medprm_hf.runs.shards import SOURCE, Marker, Shards, cannot_write, write_text
from medprm_hf.runs.source import SOURCE_COLUMNS, HandedOver, Source
from medprm_hf.runs.tables import arrow_of_shard, batch_of_shard, refuse_lacking
from medprm_hf.runs.work import Columns, work_on
from medprm_hf.schema import BY_NAME, COLUMNS, SCHEMA_VERSION
from medprm_hf.specs import backends_of
from medprm_hf.stages import stage_of
from medprm_hf.stages.base import Batch, Learner, Stage, Watcher

RECIPE, LEARNT = "recipe.yaml", "learnt"
Progress = Callable[[str, int, int], None]
"""Called with (stage, shards done, shards in all) after each shard; while the source is read, `in all` is one more than
is done, for nobody knows yet."""


def _silent(stage: str, done: int, total: int) -> None:
    """The default progress: none."""


@dataclass(frozen=True)
class Run:
    """One run directory and the recipe that fills it."""

    directory: Path
    recipe: Recipe
    stages: tuple[Stage, ...] = field(repr=False)
    shards: Shards = field(repr=False)
    rows: HandedOver | None = field(default=None, repr=False)
    """Question rows that were handed over in Python, in place of the recipe's source."""

    @classmethod
    def open(cls, directory: Path, recipe: Recipe, rows: Iterable[dict[str, Any]] | None = None) -> Run:
        """Prepares a directory for a recipe; everything that cannot work is refused here, before a model call."""
        stages = tuple(stage_of(recipe, name) for name in recipe.stages)
        check_order(stages)
        file, text = directory / RECIPE, dump_recipe(recipe)
        try:
            if not file.is_file() or file.read_text(encoding="utf-8") != text:  # looking writes nothing
                refuse_another_recipe(directory)
                directory.mkdir(parents=True, exist_ok=True)
                write_text(file, text)
        except OSError as error:
            raise cannot_write(file, error, directory) from error
        return cls(directory, recipe, stages, Shards(directory), None if rows is None else HandedOver(rows))

    @classmethod
    def resume(cls, directory: Path, settings: tuple[str, ...] = ()) -> Run:
        """The run that a directory holds, with settings such as `budget=40` changed."""
        file = directory / RECIPE
        if not file.is_file():
            raise StoreError(f"{directory} holds no run (no recipe.yaml): start one with `medprm build RECIPE`")
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
        return cls.open(directory, parse(data, settings, where=str(file)))

    def source(self) -> Source:
        """The run's source shards."""
        return Source(self.shards, self.recipe, self.rows)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the finished table, in the schema's order."""
        written = {*SOURCE_COLUMNS, *(name for stage in self.stages for name in stage.writes), "errors"}
        return tuple(column.name for column in COLUMNS if column.name in written)

    def build(self, progress: Progress = _silent) -> int:
        """Does what is not done, stage after stage; gives the number of shards that were worked on."""
        with self.opened():
            count = self.read_source(progress)
            return sum(self._stage(number, count, progress) for number in range(len(self.stages)))

    @contextmanager
    def opened(self, journal: Path | None = None, older: tuple[Path, ...] = ()) -> Iterator[None]:
        """The run's books, and every check that can be made before a model is asked.

        A process that may not write the run's journal has a `journal` of its own, and looks into `older` ones too.
        """
        for name in self.recipe.exports:
            open_format(name)
        with run_books(self.directory, self.recipe, journal, older) as own:
            fresh = self.source().fresh()
            todo = [stage for index, stage in enumerate(self.stages) if not fresh or self.todo(index)]
            for stage in todo:
                stage.check()
            specs = [spec for stage in todo for spec in backends_of(stage)]
            check_budget(self.recipe, map(identity_of, map(open_backend, specs)), own.meter.prices)
            yield

    def read_source(self, progress: Progress = _silent) -> int:
        """Reads the source where that is to be done; gives its number of shards."""
        read = 0
        for read in self.source().read():
            check_stop()
            progress(SOURCE, read, read + 1)
        count = self.shard_count()
        if read:
            progress(SOURCE, count, count)
        return count

    def shard_count(self) -> int:
        """Shards of the source; 0 before it was read to its end."""
        marker = self.source().whole
        return int(marker["shards"]) if marker else 0

    def done(self, stage: int) -> int:
        """Shards of a stage that are finished for this recipe."""
        return self.shard_count() - len(self.todo(stage))

    def finished(self) -> bool:
        """Whether every shard of every stage is done."""
        return self.shard_count() > 0 and not any(self.todo(index) for index in range(len(self.stages)))

    def todo(self, stage: int) -> list[int]:
        """Shards of a stage that are not finished for this recipe and these inputs."""
        there, known = self.shards.prints(str(self.stages[stage].name)), self._fingerprints()
        count = self.shard_count()
        if not self._has_learnt(stage):
            return list(range(count))
        return [number for number in range(count) if there.get(number) != known(stage, number)]

    def fingerprint(self, stage: int, number: int) -> str:
        """Hash of a stage's spec, of what it has learnt, and of what it reads of a shard (-1: the source)."""
        return self._fingerprints()(stage, number)

    def _fingerprints(self) -> Callable[[int, int], str]:
        """`fingerprint` as it is now: what it hangs on is looked at once."""
        above = [self._upstream(index) for index in range(len(self.stages))]
        own = [self._own_print(index) for index in range(len(self.stages))]

        @cache
        def known(stage: int, number: int) -> str:
            if stage < 0:
                return self.shards.print_of(SOURCE, f"{number:05d}") or ""
            return content_hash(own[stage], [known(i, number) for i in above[stage]])

        return known

    def _own_print(self, index: int) -> str:
        """What of a stage is the same for all shards: the table's version, its spec, what it has learnt."""
        here = self.stages[index]
        learnt = self.shards.print_of(str(here.name), LEARNT) if learns(here) else None
        return content_hash(SCHEMA_VERSION, str(here.name), repr(here), learnt)

    def _upstream(self, stage: int) -> list[int]:
        """Indices of the earlier stages (and -1) that `stage` depends on: what it reads, and who made the rows."""
        reads = _readable(self.stages[stage], self.stages[:stage])
        return [-1] + [
            i
            for i, earlier in enumerate(self.stages[:stage])
            if earlier.name == "generate" or set(earlier.writes) & set(reads)
        ]

    def _stage(self, index: int, count: int, progress: Progress) -> int:
        name, stage = self.stages[index].name, self.taught(index)
        todo = self.todo(index)
        progress(name, count - len(todo), count)
        done, pending = count - len(todo), []
        for number in todo:
            try:
                self.do_shard(index, number, stage)
            except PendingError as error:  # its batch is submitted: so may the other shards' be
                pending.append(error)
                continue
            done += 1
            progress(name, done, count)
        if pending:
            raise PendingError(f"{name}: {len(pending)} of {count} shards wait for batches. {pending[0]}", "batch")
        return len(todo)

    def taught(self, index: int) -> Stage:
        """The stage as it works on shards: one that learns from the whole run has learnt, once.

        The stages before it must be done.
        """
        stage = self.stages[index]
        if not learns(stage):
            return stage
        name = str(stage.name)
        if not self._has_learnt(index):
            before = books().meter.totals()
            with books().meter.stage(name):
                learnt = cast(Learner, stage).learn(self._batch(index, n) for n in range(self.shard_count()))
            spent = {identity: tally.as_dict() for (_, identity), tally in books().meter.since(before).items()}
            known = {"fingerprint": self._lesson(index), "digest": content_hash(learnt), "learnt": learnt}
            self.shards.write_note(name, LEARNT, {**known, "spent": spent})
        note = self.shards.note(name, LEARNT) or {}
        return cast(Stage, replace(cast(Any, stage), learnt=note["learnt"]))

    def _has_learnt(self, index: int) -> bool:
        """Whether what a stage learns from the whole run is there, and up to date."""
        stage = self.stages[index]
        if not learns(stage):
            return True
        note = self.shards.note(str(stage.name), LEARNT)
        return note is not None and "digest" in note and note["fingerprint"] == self._lesson(index)

    def _lesson(self, index: int) -> str:
        """Hash of all that a stage learns from."""
        here, known = self.stages[index], self._fingerprints()
        read = [[known(i, n) for n in range(self.shard_count())] for i in self._upstream(index)]
        outside = [here.state()] if isinstance(here, Watcher) else []
        return content_hash(SCHEMA_VERSION, repr(here), read, *filter(None, outside))

    def do_shard(self, index: int, number: int, stage: Stage | None = None) -> Marker:
        """Does one shard of one stage and keeps it; gives its marker. `stage`: as `taught` gave it."""
        check_stop()
        stage = stage or self.taught(index)
        fingerprint, batch = self.order(index, number)
        columns, about = work_on(stage, batch)
        return self.keep(index, number, columns, {"fingerprint": fingerprint, **about})

    def order(self, index: int, number: int) -> tuple[str, Batch]:
        """What is to be done of a stage's shard: the fingerprint it will bear, and the batch that it is made of."""
        return self.fingerprint(index, number), self._batch(index, number)

    def keep(self, index: int, number: int, columns: Columns, marker: Marker) -> Marker:
        """Keeps a stage's shard that was worked on, here or elsewhere."""
        self.shards.write(str(self.stages[index].name), number, columns, marker)
        return marker

    def _batch(self, index: int, number: int) -> Batch:
        """What a stage is given of a shard."""
        return self.table(number, _readable(self.stages[index], self.stages[:index]), index)

    def table(self, number: int, names: Iterable[str], upto: int | None = None) -> Batch:
        """The named columns of a shard as the stages before `upto` (default: all) left them, row for row.

        Question columns are repeated for every solution of the question; `errors` gathers every stage's.
        """
        before = self.stages if upto is None else self.stages[:upto]
        wanted = tuple(names)
        batch = batch_of_shard(self.shards, before, number, wanted)
        if upto is None:
            refuse_lacking(self.shards, wanted, batch)
        return batch

    def arrow(self, number: int, names: tuple[str, ...]) -> pa.Table:
        """The same after all stages as an Arrow table of exactly these columns."""
        return arrow_of_shard(self.shards, self.stages, number, names)


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


def learns(stage: Stage) -> bool:
    """Whether a stage is a Learner; asked of every shard, which a look at the whole protocol would slow down."""
    return hasattr(stage, "learn")


def _readable(stage: Stage, before: tuple[Stage, ...]) -> tuple[str, ...]:
    there = {*SOURCE_COLUMNS, *(name for earlier in before for name in earlier.writes)}
    return (*stage.reads, *(name for name in stage.uses if name in there))


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
