"""`ServerScorer`: step scores from the log-probabilities of a vLLM or other OpenAI-compatible server.

    scorer = Scorer.open("openai:my-prm?base_url=http://127.0.0.1:8000/v1", settings="runs/demo/prm")
    scorer.score(question="Which side?", steps=["The left angle is blunted.", "Answer: A"], image=png).p_plus

One request of one token a step end: the server's prefix cache makes what steps have in common cheap. The chat form is
a conversation of steps and `+`; the marker form needs the solution in the assistant's turn (`solution_by: assistant`)
and a server that continues a message (vLLM, SGLang).

A server lists only its likeliest tokens (20 at most, usually). A step for which + or - is not among them is unknown
(`not_listed`), never 0. A request that failed leaves its reason. Texts reach the server as texts: it tokenises a turn
whole, with the names of special tokens in it, so scores may differ from those of a local model in the last digits, and
a text that contains the marker or a special token is refused (`special_token`). `max_length` is the server's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from medprm_hf.backends.open import open_backend
from medprm_hf.backends.protocol import Backend, Completion, Failure, Message, Reply, Request, Sampling
from medprm_hf.errors import ConfigError, DataError, ImageError
from medprm_hf.scoring.asked import IMAGE, Job, References, Row, gathered, row_of
from medprm_hf.scoring.layout import Case
from medprm_hf.scoring.results import NOT_LISTED, StepScores
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings

LISTED = 20
"""Candidates asked for at each step end; OpenAI and vLLM (by default) give no more."""
SPECIAL = "special_token"
"""The text holds the marker, or what looks like a special token."""
_SUSPICIOUS = ("<|", "<image>", "<start_of_turn>", "<end_of_turn>", "[INST]", "[IMG]", "</s>")


class ServerScorer:
    """Scores steps by asking a backend; the same calls as `Scorer`."""

    def __init__(self, backend: Backend, settings: PRMSettings, name: str = "") -> None:
        layout = settings.layout
        if settings.kind == "two_towers":
            raise ConfigError("two towers are no model that a server has: score with them in this process")
        if layout.form == "marker" and layout.solution_by != "assistant":
            raise ConfigError(
                "a server reads a marker only at the end of the assistant's turn: this model was trained with "
                "solution_by: user; train with solution_by: assistant, or score in this process"
            )
        self.backend, self.settings = backend, settings
        self.name = name or backend.model
        """What it was opened as."""
        self.messages: dict[int, str] = {}
        """What was wrong with rows of the last `score_rows`, by their number."""

    @classmethod
    def open(cls, spec: str, settings: PRMSettings | None = None) -> ServerScorer:
        """From a backend's spec; without settings those of VisualPRM's chat form."""
        return cls(open_backend(spec), settings or PRMSettings(), spec)

    def score(
        self,
        question: str,
        steps: Sequence[str],
        image: Any = None,
        options: Sequence[str] = (),
        evidence: Sequence[Any] = (),
        clinical_context: str | None = None,
    ) -> StepScores:
        """One solution; raises DataError without steps, ImageError where the image cannot be read."""
        row = row_of(question, steps, image, options, evidence, clinical_context)
        scored = self.score_rows([row])
        if self.messages and not scored[0].known:
            failed = ImageError if IMAGE in scored[0].reasons else DataError
            raise failed(self.messages[0])
        return scored[0]

    def score_rows(
        self, rows: Sequence[Row], batch_tokens: int | None = None, references: References | None = None
    ) -> list[StepScores]:
        """One StepScores a row, in order; `batch_tokens` and `references` are for local models."""
        jobs, refused = gathered(rows)
        self.messages = {place: message for place, (_, message) in refused.items()}
        found = {
            place: StepScores.unknown(len(rows[place].get("steps") or ()), reason, self.settings)
            for place, (reason, _) in refused.items()
        }
        asked: list[tuple[int, int, Request]] = []
        for job in jobs:
            for place, steps in zip(job.places, job.steps, strict=True):
                if special := self._special(job, steps):
                    found[place] = StepScores.unknown(len(steps), SPECIAL, self.settings)
                    self.messages[place] = special
                else:
                    asked += [(place, end, request) for end, request in enumerate(self._requests(job.case, steps))]
        replies = self.backend.complete([request for _, _, request in asked])
        told: dict[int, list[Reply]] = {}
        for (place, _, _), reply in zip(asked, replies, strict=True):
            told.setdefault(place, []).append(reply)
        found |= {place: self._read(ends, len(rows[place]["steps"]), place) for place, ends in told.items()}
        return [found[place] for place in range(len(rows))]

    # --- asking ------------------------------------------------------------------------------------------------

    def _special(self, job: Job, steps: Sequence[str]) -> str | None:
        """What in the texts the server would take for a token of its own; None where nothing."""
        layout = self.settings.layout
        names = (layout.marker.strip(), *_SUSPICIOUS) if layout.form == "marker" else _SUSPICIOUS
        shown = (job.case.question, *job.case.evidence, *steps)
        bad = next((name for name in names if name and any(name in text for text in shown)), None)
        return None if bad is None else f"the text holds {bad!r}, which a server may take for a token: score locally"

    def _requests(self, case: Case, steps: Sequence[str]) -> list[Request]:
        """One request a step end."""
        layout = self.settings.layout
        shown = list(steps) if layout.unit == "step" else ["\n\n".join(steps)]
        system = (Message("system", layout.system_text()),) if layout.system_text() else ()
        image = (case.image,) if case.image is not None and layout.image else ()
        head = _head(case, layout)
        if layout.form == "marker":
            user = Message("user", head.strip(), image)
            ends = [_marked(shown[: end + 1], layout) for end in range(len(shown))]
            return [self._request((*system, user), prefix) for prefix in ends]
        turns = [*system, Message("user", f"{head}{_named(1, shown[0], layout)}", image)]
        found = [self._request(tuple(turns))]
        for number, step in enumerate(shown[1:], start=2):
            turns += [Message("assistant", layout.plus), Message("user", _named(number, step, layout))]
            found.append(self._request(tuple(turns)))
        return found

    def _request(self, messages: tuple[Message, ...], prefix: str = "") -> Request:
        return Request(messages, sampling=Sampling(temperature=0.0, max_tokens=1), prefix=prefix, logprobs=LISTED)

    # --- reading -----------------------------------------------------------------------------------------------

    def _read(self, replies: Sequence[Reply], steps: int, place: int) -> StepScores:
        """The scores of a solution from the replies at its step ends."""
        layout = self.settings.layout
        names = [name for name in (layout.plus, layout.minus, layout.equal) if name]
        rows: list[list[float]] = []
        reasons: dict[int, str] = {}
        first = steps - len(replies)  # the outcome form asks once, for the last step
        for number, reply in enumerate(replies):
            found = _listed(reply, names)
            if isinstance(found, str):
                reasons[first + number] = found
                self.messages.setdefault(place, _said(reply, found))
                found = [0.0] * len(names)
            rows.append(found)
        return StepScores.of_logits(rows, steps, self.settings, reasons)

    def close(self) -> None:
        """Gives back connections."""
        self.backend.close()


def _head(case: Case, layout: LayoutSettings) -> str:
    """What stands before the first step."""
    question_head, process_head = layout.heads()
    passages = enumerate(case.evidence if layout.evidence else (), start=1)
    evidence = "".join(f"Document {number}: {passage}\n\n" for number, passage in passages)
    return f"{evidence}{question_head}{case.question.strip()}{process_head}"


def _named(number: int, step: str, layout: LayoutSettings) -> str:
    return f"Step {number}: {step.strip()}" if layout.is_numbered() else step.strip()


def _marked(steps: Sequence[str], layout: LayoutSettings) -> str:
    """The solution so far, a marker behind each step."""
    named = [" ".join(_named(number, step, layout).splitlines()) for number, step in enumerate(steps, start=1)]
    return " ".join(f"{step}{layout.marker}" for step in named)


def _listed(reply: Reply, names: Sequence[str]) -> list[float] | str:
    """Log-probabilities of the label tokens at a step end, all with or all without a blank; or why there are none."""
    place = reply.places[0] if reply.places else Failure("no_choices", "no answer")
    if not isinstance(place, Completion):
        return place.kind
    if not place.top_logprobs:
        return "no_logprobs"
    top: Mapping[str, float] = place.top_logprobs[0]
    for form in ("{}", " {}"):
        found = [top.get(form.format(name), -math.inf) for name in names]
        if all(math.isfinite(value) for value in found):
            return found
    return NOT_LISTED


def _said(reply: Reply, reason: str) -> str:
    place = reply.places[0] if reply.places else None
    if isinstance(place, Failure):
        return f"{place.kind}: {place.message}"
    if reason == NOT_LISTED:
        return f"the label tokens are not among the {LISTED} likeliest: is this a process reward model?"
    return "the server gives no log-probabilities"
