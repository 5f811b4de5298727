"""`medprm_hf.pipeline`: a whole recipe over rows that are at hand, in Python; the same table as `medprm build` gives.

    import medprm_hf
    from datasets import load_dataset

    questions = load_dataset("csv", data_files="questions.csv", split="train")
    table = medprm_hf.pipeline(questions, "recipe.yaml")     # a datasets.Dataset, one row a solution
    table[0]["labels"]                                       # ["+", "+", "-"]

The rows are question rows as a table of one's own has them (docs/sources.md). What is done is kept in a run directory,
shard by shard: called again after a crash, the same call goes on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.ids import content_hash
from medprm_hf.loading import complete_row
from medprm_hf.recipe import Recipe, SourceSpec, load, parse
from medprm_hf.runs.lock import one_at_a_time
from medprm_hf.runs.pipeline import Run
from medprm_hf.runs.seal import complete
from medprm_hf.runs.shards import kept_whole
from medprm_hf.runs.source import ROWS
from medprm_hf.schema import written_by
from medprm_hf.sources.own_rows import own_row

if TYPE_CHECKING:
    from datasets import Dataset

Rows = Iterable[Mapping[str, Any]]


def pipeline(
    dataset: Rows, recipe: Recipe | Mapping[str, Any] | str | Path, *, directory: str | Path | None = None
) -> Dataset:
    """Carries a recipe out on question rows.

    Args:
        dataset (`Dataset`, `IterableDataset` or an iterable of rows):
            One question a row; `question` is needed, the other question columns may be there. The rows take the place
            of the recipe's `source`; they are read once, as a stream.
        recipe (`Recipe`, `dict`, `str` or `Path`):
            A recipe, its plain values, or its file.
        directory (`str` or `Path`, *optional*, defaults to a folder in the cache of `datasets`):
            The run directory; with it `medprm status`, `resume` and `report` work too.

    Returns:
        `Dataset`: the finished table, one row a solution, with the columns of `medprm_hf.COLUMNS` that the recipe's
        stages write. It equals `load_dataset("RUN/dataset")` of `medprm build` on the same rows.

    Raises:
        ConfigError, DataError: the recipe or a row cannot work; told before a model is asked where that is possible.
        StoreError: the directory cannot be written, or another process works there.
    """
    loaded = _recipe(recipe)
    folder = Path(directory) if directory is not None else _cache(dataset, loaded)
    run = Run.open(folder, loaded, _question_rows(dataset))
    with kept_whole(folder), one_at_a_time(folder):
        run.build()
        complete(run)
    return table_of_run(folder)


def table_of_run(directory: Path) -> Dataset:
    """The dataset of a finished run, memory-mapped."""
    from datasets import Dataset

    files = sorted(str(file) for file in (directory / "dataset" / "data").glob("*.parquet"))
    return Dataset.from_parquet(files, cache_dir=str(directory / "cache"))


def _recipe(given: Recipe | Mapping[str, Any] | str | Path) -> Recipe:
    """The recipe with the rows as its source."""
    if isinstance(given, Recipe):
        loaded = given
    elif isinstance(given, Mapping):
        loaded = parse(dict(given))
    elif isinstance(given, str | Path):
        loaded = load(given)
    else:
        raise ConfigError(f"a recipe is a file, its plain values or a Recipe, not a {type(given).__name__}")
    return loaded.model_copy(update={"source": SourceSpec(name=ROWS)})


def _cache(dataset: Any, recipe: Recipe) -> Path:
    """A folder that the same call finds again."""
    from datasets import config

    told = content_hash(recipe.fingerprint(), str(getattr(dataset, "_fingerprint", "")))
    return Path(config.HF_DATASETS_CACHE) / "medprm-hf" / f"{recipe.name}-{told}"


def _question_rows(dataset: Rows) -> Iterator[dict[str, Any]]:
    if isinstance(dataset, Mapping):
        raise DataError(
            f"rows of several splits ({', '.join(map(str, dataset))}): hand over one, as in questions['train']"
        )
    settled = set(written_by("questions")) - {"split"}  # the questions stage writes them anew
    for number, record in enumerate(_undecoded(dataset)):
        if not isinstance(record, Mapping):
            raise DataError(f"row {number} is a {type(record).__name__}, not columns")
        plain = {name: value for name, value in record.items() if name not in settled}
        yield complete_row(own_row(plain, number, ROWS))


def _undecoded(dataset: Any) -> Rows:
    """The rows with their images as they are stored: a `datasets` table would decode and encode each."""
    features = getattr(dataset, "features", None) or {}
    for name, feature in features.items():
        if hasattr(feature, "decode"):
            dataset = dataset.cast_column(name, type(feature)(decode=False))
    rows: Rows = dataset
    return rows
