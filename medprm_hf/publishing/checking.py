"""Is a contribution fit to be merged? The same checks before it is sent and when a pull request is looked at.

    findings = check_contribution(contribution, images, known)
    findings = check_places({"contributions/alice/9f….jsonl": "added"}, sizes, author="alice")

Every reason is said: other files than its own, names that climb out of their folder, markup, words to a judge, huge
files, names that are there already, texts and images that may identify a patient, licences, questions that stand in
the dataset under another name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from medprm_hf.ids import bytes_hash
from medprm_hf.publishing.contributions import (
    MAX_BYTES,
    PLACE,
    Contribution,
    LabelLine,
    QuestionLine,
    SolutionLine,
)
from medprm_hf.publishing.findings import Finding, Findings
from medprm_hf.publishing.known import Known, asked_hash
from medprm_hf.publishing.licences import licence_of
from medprm_hf.publishing.pictures import Looker
from medprm_hf.publishing.privacy import Scanner, mapped, texts_of
from medprm_hf.publishing.suspicious import NO_PROSE, suspicions, tamed

MAX_IMAGE = 16 << 20
"""Bytes of one image."""
MAX_FILES = 2000
"""Files of one pull request."""
_FIXED = frozenset({"kind", "image", "image_sha256", "text_sha", "license", "question_id", "solution_id"})
"""Keys of a line that are no prose; names are looked at as names."""


def check_places(changes: Mapping[str, str], sizes: Mapping[str, int], author: str) -> list[Finding]:
    """Whether a pull request only adds files of its own: its path's author is whoever opened it."""
    findings = Findings()
    if not changes:
        findings.add("contribution", "error", "the pull request changes nothing")
    if len(changes) > MAX_FILES:
        findings.add("contribution", "error", f"{len(changes)} files, at most {MAX_FILES}: split it up")
        return findings.list()
    ids = {match["id"] for path in changes if (match := PLACE.fullmatch(path)) and match["image"] is None}
    if changes and len(ids) != 1:
        findings.add("contribution", "error", f"it holds {len(ids)} contributions, not one")
    for path, what in changes.items():
        match = PLACE.fullmatch(path)
        shown = shown_path(path)
        if match is None:
            climbs = ".." in path or path.startswith(("/", "~")) or "\\" in path or not path.isprintable()
            said = "a path climbs out of its folder" if climbs else "it touches files that are not its own"
            findings.add("contribution", "error", said, shown, f"only contributions/{author}/… may be added")
        elif match["author"].lower() != author.lower():
            findings.add("contribution", "error", f"it writes in the name of somebody else than {author}", shown)
        elif match["id"] not in ids:
            findings.add("contribution", "error", "an image belongs to another contribution", shown)
        elif what != "added":
            findings.add(
                "contribution", "error", f"what was contributed before is {what}: it may only be added to", shown
            )
        elif sizes.get(path, 0) > (MAX_IMAGE if match["image"] else MAX_BYTES):
            findings.add("contribution", "error", f"a file of {sizes[path]} bytes is too large", shown, "split it up")
    return findings.list()


def shown_path(path: str) -> str:
    """A path as it can be put into a comment."""
    return "".join(c if c.isprintable() and c not in "`<>|@" else "?" for c in path)[:120]


def check_contribution(one: Contribution, images: Mapping[str, bytes], known: Known) -> list[Finding]:
    """Everything that can be said of the content; `images` by their path in the repo."""
    findings = Findings()
    _names(one, known, findings)
    _texts(one, findings)
    _questions(one, images, known, findings)
    return findings.list()


def _names(one: Contribution, known: Known, findings: Findings) -> None:
    """Names that come twice, are there already, or mean nothing; labels of texts that are not there."""
    own = {line.question_id for line in one.lines if isinstance(line, QuestionLine)}
    names = Counter(line.solution_id for line in one.lines if isinstance(line, SolutionLine))
    names.update(line.question_id for line in one.lines if isinstance(line, QuestionLine))
    names.update(_place(line) for line in one.lines if isinstance(line, LabelLine))
    for name, count in names.items():
        if count > 1:
            findings.add("contribution", "error", "a name or step comes twice", name, "say each thing once")
    for line in one.lines:
        if isinstance(line, QuestionLine):
            if line.question_id in known.questions:
                findings.add("contribution", "error", "a new question has a name that is taken", line.question_id)
        elif isinstance(line, SolutionLine):
            if line.solution_id in known.solutions:
                findings.add("contribution", "error", "a new solution has a name that is taken", line.solution_id)
            if line.question_id not in known.questions and line.question_id not in own:
                findings.add("contribution", "error", "a solution is of no question that is there", line.solution_id)
            if set(line.labels) == {"?"}:
                findings.add("labels", "error", "a solution has no label", line.solution_id)
        else:
            _label(one.author, line, known, findings)


def _label(author: str, line: LabelLine, known: Known, findings: Findings) -> None:
    found = known.solutions.get(line.solution_id)
    if found is None:
        findings.add("contribution", "error", "a label is of no solution that is there", line.solution_id)
    elif line.step >= len(found.steps) or found.steps[line.step] != line.text_sha:
        findings.add("contribution", "error", "a label is of a step with another text", _place(line),
                     "make it again from the dataset as it is now")  # fmt: skip
    elif line.kind == "adjudication" and author not in known.adjudicators:
        findings.add("contribution", "error", f"{author} is no adjudicator of this dataset", line.solution_id,
                     "contribute it as a label; medprm.json names who may adjudicate")  # fmt: skip
    elif line.kind == "label" and found.labels[line.step] not in ("?", line.label):
        findings.add("contribution", "note", "labels contradict those there, and become disagreements to adjudicate",
                     _place(line))  # fmt: skip


def _place(line: LabelLine) -> str:
    return f"{line.solution_id}/{line.step}"


def _texts(one: Contribution, findings: Findings) -> None:
    """Identifiers, markup and words to a judge, in every text and name."""
    scanner = Scanner()
    for number, line in enumerate(one.lines, start=2):
        plain = mapped(line.model_dump(exclude_none=True), tamed)
        where = f"line {number}"
        told = [(key, what) for key, text in texts_of(_prose(plain)) for what in suspicions(text)]
        for key, what in told:
            findings.add("text", "error", f"{key}: {what}", where, "write plain prose")
        if any(what.startswith(NO_PROSE) for _, what in told):
            continue  # nothing that a pattern could take hours for
        for kind, key in scanner.kinds({k: v for k, v in plain.items() if k != "text_sha"}).items():
            findings.add("phi", "error", f"{key} seems to hold an identifier ({kind})", where, "take it out")
        for key in ("question_id", "solution_id", "license"):
            if any(c in "<>`|{}\\" or not c.isprintable() for c in str(plain.get(key, ""))):
                findings.add("text", "error", f"{key} has characters that no name needs", where)


def _prose(plain: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in plain.items() if key not in _FIXED}


def _questions(one: Contribution, images: Mapping[str, bytes], known: Known, findings: Findings) -> None:
    looker = Looker(findings)
    named = set()
    for line in one.lines:
        if not isinstance(line, QuestionLine):
            continue
        kind = licence_of(line.license, line.source).kind
        if kind != "open":
            findings.add("licence", "error", f"a question's licence ({kind}) does not allow to pass it on",
                         line.question_id, "contribute questions under an open licence, named in license")  # fmt: skip
        twin = known.by_asked.get(asked_hash(line.question, line.options, line.image_sha256))
        if twin is not None:
            findings.add("leakage", "error", f"a new question is {twin} under another name", line.question_id,
                         "contribute its solutions to that one")  # fmt: skip
        if line.image is None:
            continue
        named.add(line.image)
        _image(line, images.get(line.image), looker, known, findings)
    for path in sorted(set(images) - named):
        findings.add("contribution", "error", "an image is of no question", shown_path(path))


def _image(line: QuestionLine, data: bytes | None, looker: Looker, known: Known, findings: Findings) -> None:
    if data is None:
        findings.add("images", "error", "an image is missing", line.question_id)
        return
    if bytes_hash(data) != line.image_sha256:
        findings.add("images", "error", "image_sha256 is not that of the image's bytes", line.question_id)
    look = looker.look({"question_id": line.question_id, "image": data, "image_sha256": None})
    twin = None if look.phash is None else known.looks.twin(line.question_id, look.phash)
    if twin is not None:
        findings.add("leakage", "note", f"an image looks like that of {twin}, and goes to its split", line.question_id)
