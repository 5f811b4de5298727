"""Makes docs/data-format.md of `medprm_hf/schema.py`, so that the page cannot say anything else than the code.

python docs/make/data_format.py            writes the page
python docs/make/data_format.py --check    exit code 1 where the page is older than the code
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

from medprm_hf.schema import COLUMNS, SCHEMA_VERSION, Column, Label

PAGE = Path(__file__).parents[1] / "data-format.md"

STAGES = {
    "sources": "Source: one row is one question",
    "questions": "`questions`",
    "generate": "`generate`: from here on one row is one solution",
    "rollout": "`rollout`",
    "retrieve": "`retrieve`",
    "judge": "`judge`",
    "calibrate": "`calibrate`",
    "merge": "`merge`",
    "review": "`review`",
    "select": "`select`",
    "any": "Every stage",
}
LABELS = {
    Label.RIGHT: "the step is right",
    Label.WRONG: "the step is wrong",
    Label.NEUTRAL: "no reasoning: it adds nothing",
    Label.UNKNOWN: "not sampled, failed or unparsed; the reason stands in `label_method` or `errors`",
}
HEAD = """# Data format

<!-- Made by docs/make/data_format.py of medprm_hf/schema.py: change it there. -->

One table goes through the whole program, and is what `load_dataset("runs/demo/dataset")` gives. A row only gains
columns, and each column is written by exactly one stage. Before `generate` one row is one question; from `generate` on
one row is one solution. Lists marked *per step* line up by step: they have as many entries as `steps`.

```text
steps                      rollout_correct   rollout_total   judge_labels   labels
"Nodules: three."          2                 8               +              ?
"Largest: left middle."    2                 8               -              -
"Answer: C."               8                 8               +              +
```

Files are Parquet; their metadata key `medprm_hf.schema_version` says which version of the table they hold, today
version {version}. An older table is brought up to date as it is read, a newer one is refused. What other projects'
files hold of these columns, and what they cannot, stands in [Formats](formats.md); what a published dataset holds
beside them in [Publishing](publishing.md).

## Labels

| label | means |
|---|---|
{labels}

Unknown is never zero: an answer that cannot be read counts in `rollout_unreadable`, a request that failed in
`rollout_failed`, and neither in `rollout_total`. Where nothing was read, `expected_accuracy` is null, not 0.

The label that counts is the review's where there is one, else merge's (`medprm_hf.schema.final_labels`).

## Columns
"""
FOOT = """
## How types are written

| type | in Parquet | in Python |
|---|---|---|
| `str` | string | `str` or `None` |
| `int` | int64 | `int` or `None` |
| `float` | double | `float` or `None` |
| `bool` | bool | `bool` or `None` |
| `image` | struct of `bytes` and `path` (the Hub's image type) | `PIL.Image`, or `{"bytes", "path"}` |
| `list[T]` | list | `list` |
| `{name: T, …}` | struct | `dict` |

From Python the same table is `medprm_hf.COLUMNS`:

```python
from medprm_hf import COLUMNS

for column in COLUMNS:
    print(column.name, column.kind, column.stage, column.per_step, column.text)
```
"""


def page() -> str:
    """The whole page."""
    labels = "\n".join(f"| `{label.value}` | {LABELS[label]} |" for label in Label)
    parts = [HEAD.replace("{version}", str(SCHEMA_VERSION)).replace("{labels}", labels)]
    parts += [_section(stage, list(columns)) for stage, columns in groupby(COLUMNS, lambda column: column.stage)]
    return "".join(parts) + FOOT


def _section(stage: str, columns: list[Column]) -> str:
    rows = "".join(_row(column) for column in columns)
    return f"\n### {STAGES[stage]}\n\n| column | type | per step | meaning |\n|---|---|---|---|\n{rows}"


def _row(column: Column) -> str:
    text = column.text.replace("|", "\\|")
    return f"| `{column.name}` | `{column.kind}` | {'yes' if column.per_step else ''} | {text} |\n"


def main() -> None:
    """Writes the page, or says that it is old."""
    if "--check" in sys.argv:
        sys.exit(PAGE.read_text(encoding="utf-8") != page() and f"{PAGE} is old: python docs/make/data_format.py")
    PAGE.write_text(page(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
