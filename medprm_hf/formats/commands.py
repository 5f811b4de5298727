"""What `medprm convert`, `validate` and `inspect` do, as plain functions for the command line.

    convert("theirs.jsonl", "ours.json", to="medprm")   ->  Report
    validate("steps.jsonl")                             ->  Validation(format="steps-jsonl", rows=454, problems=[])
    inspect("steps.jsonl")                              ->  something that rich prints
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from medprm_hf.errors import ConfigError
from medprm_hf.formats import FORMATS, Problem, Report, detect, items, open_format, write
from medprm_hf.formats.marks import step_labels
from medprm_hf.formats.reading import NAMELESS
from medprm_hf.formats.writing import safe_dumps
from medprm_hf.ids import content_hash
from medprm_hf.registry import near

if TYPE_CHECKING:
    from rich.console import RenderableType

_MOST = 1000
"""Problems that are kept one by one; the rest is only counted."""


@dataclass
class Validation:
    """What is right and wrong with one file."""

    path: str
    format: str
    rows: int = 0
    """Rows that can be read."""
    steps: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    """How often each final label stands in them."""
    problems: list[Problem] = field(default_factory=list)
    """At most the first 1,000."""
    reasons: Counter[str] = field(default_factory=Counter)
    """All problems by reason."""

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        return not self.reasons

    def lines(self) -> list[str]:
        """Each problem with its place, then a summary."""
        count = self.reasons.total()
        said = [f"{self.path}: {problem} [{problem.reason}]" for problem in self.problems]
        if count > len(self.problems):
            said.append(f"… and {count - len(self.problems)} more")
        labels = ", ".join(f"{number} {label}" for label, number in sorted(self.labels.items()))
        said.append(f"{self.path}: {self.format}, {self.rows} rows, {self.steps} steps ({labels or 'no labels'})")
        said.append("nothing is wrong" if not count else ", ".join(f"{n} {why}" for why, n in self.reasons.items()))
        return said


class _Seen:
    """Names of solutions met so far, as 64-bit hashes: 70 bytes a solution."""

    def __init__(self) -> None:
        self._hashes: set[int] = set()

    def again(self, row: dict[str, Any]) -> str | None:
        """The row's name if it was met before."""
        name, question = row.get("solution_id") or row.get("question_id"), str(row.get("question_id"))
        if name is None or question.startswith(NAMELESS):
            return None
        key = int(content_hash(question, str(name)), 16)
        if key in self._hashes:
            return str(name)
        self._hashes.add(key)
        return None


def checked(path: str | Path, format_id: str, **options: Any) -> Iterator[dict[str, Any] | Problem]:
    """`items` of a file in which a name that comes a second time is a problem, and its row is left out."""
    seen = _Seen()
    for place, item in enumerate(items(path, format_id, **options), start=1):
        name = None if isinstance(item, Problem) else seen.again(item)
        if isinstance(item, Problem) or name is None:
            yield item
        else:
            message = f"solution {name!r} stands in the file already: give it a name of its own"
            yield Problem(place, "solution_id", "duplicate_id", message, safe_dumps({**item, "image": None}))


def convert(
    source: str | Path,
    target: str | Path,
    to: str,
    from_: str | None = None,
    strict: bool = False,
    **options: Any,
) -> Report:
    """Reads `source` and writes it as `to`; images are copied beside the target.

    What cannot be read or written goes, with its reason, to `<target>.rejected.jsonl`, the rest is kept.
    `strict` changes no file: it is for `failed`, by which the command ends with exit code 1.
    """
    source, target = Path(source), Path(target)
    if source.exists() and target.exists() and source.samefile(target):
        raise ConfigError(f"{target} is the source itself: name another target")
    format_id = from_ or detect(source)
    with _Unread(target) as unread:
        report = write(unread.rows(checked(source, format_id)), target, to, **options)
        unread.tell(report)
    return report


def options_of(format_id: str, settings: list[str]) -> dict[str, Any]:
    """Options of a format from `key=value` texts; ConfigError for a key or value that it does not take.

    options_of("visualprm", ["early_stop=true", "threshold=0.5"])  ->  {"early_stop": True, "threshold": 0.5}
    """
    known = {item.name: item.default for item in fields(open_format(format_id))}
    found: dict[str, Any] = {}
    for setting in settings:
        key, mark, text = setting.partition("=")
        if not mark or key not in known:
            raise ConfigError(f"{format_id} takes no {setting!r}{near(key, known) if known else ''}")
        found[key] = _typed(key, text, known[key])
    return found


def _typed(key: str, text: str, default: Any) -> Any:
    """`text` as a value of the option's type."""
    if isinstance(default, bool):
        if text.lower() not in ("true", "false"):
            raise ConfigError(f"{key} is {text!r}; it must be true or false")
        return text.lower() == "true"
    if isinstance(default, float):
        try:
            return float(text)
        except ValueError:
            raise ConfigError(f"{key} is {text!r}; it must be a number") from None
    return text


def known_formats() -> list[dict[str, Any]]:
    """Every format for help and docs: id, text, reads, writes, extension, options and declared losses."""
    described = []
    for name in FORMATS:
        one = open_format(name)
        options = {item.name: item.default for item in fields(one)}
        plain = {key: getattr(one, key) for key in ("id", "text", "reads", "writes", "extension", "losses")}
        described.append({**plain, "options": options})
    return described


def failed(report: Report, strict: bool) -> bool:
    """Whether the command should end with exit code 1."""
    return strict and bool(report.rejected or report.problems)


class _Unread:
    """What could not be read of a source, written down as it is met."""

    def __init__(self, target: Path) -> None:
        self._rejected = target.with_name(f"{target.name}.rejected.jsonl")
        self._partial = target.with_name(f".{target.name}.unread.part")
        self._file: IO[str] | None = None
        self._problems: list[Problem] = []
        self._reasons: Counter[str] = Counter()

    def __enter__(self) -> _Unread:
        return self

    def rows(self, found: Iterator[dict[str, Any] | Problem]) -> Iterator[dict[str, Any]]:
        """The rows among what was found."""
        for item in found:
            if isinstance(item, Problem):
                self._note(item)
            else:
                yield item

    def _note(self, problem: Problem) -> None:
        if len(self._problems) < _MOST:
            self._problems.append(problem)
        if problem.kept:
            return
        self._reasons[problem.reason] += 1
        if self._file is None:
            self._file = self._partial.open("w", encoding="utf-8")
        why = {"reason": problem.reason, "key": problem.key, "message": problem.message}
        self._file.write(safe_dumps({"line": problem.line, **why, "text": problem.text}) + "\n")

    def tell(self, report: Report) -> None:
        """Adds it to the report, and to the rejected-rows file of the output."""
        report.problems = self._problems
        report.rejected += self._reasons.total()
        report.rejections.update(self._reasons)
        if self._file is not None:
            with self._rejected.open("a", encoding="utf-8") as target:
                self._file.close()
                with self._partial.open(encoding="utf-8") as source:
                    shutil.copyfileobj(source, target)
            report.rejected_path = str(self._rejected)

    def __exit__(self, *error: object) -> None:
        if self._file is not None:
            self._file.close()
        self._partial.unlink(missing_ok=True)


def validate(path: str | Path, from_: str | None = None) -> Validation:
    """Reads a whole file and says, with line, key and reason, what is wrong with it."""
    path = Path(path)
    format_id = from_ or detect(path)
    found = Validation(str(path), format_id)
    for item in checked(path, format_id):
        if isinstance(item, Problem):
            found.reasons[item.reason] += 1
            if len(found.problems) < _MOST:
                found.problems.append(item)
            continue
        found.rows += 1
        found.steps += len(item.get("steps") or [])
        if item.get("steps"):
            found.labels.update(step_labels(item))
    return found


def inspect(path: str | Path, row: int = 1, from_: str | None = None) -> RenderableType:
    """Row `row` (from 1) as a person wants to see it, and the statistics of the file; for rich to print."""
    from medprm_hf.formats.looking import looked_at

    path = Path(path)
    format_id = from_ or detect(path)
    return looked_at(items(path, format_id), path, format_id, row)
