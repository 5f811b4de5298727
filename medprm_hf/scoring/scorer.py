"""`Scorer`: P(step is right) for every step of a solution, by a model in this process.

    scorer = Scorer.open("runs/demo/prm")                  # or phantom:prm, or a Hub id
    scores = scorer.score(question="Which side?", options=["Left", "Right"], image=png,
                          steps=["The left angle is blunted.", "Answer: A"])
    scores.p_plus                                          # (0.91, 0.88)
    scores.aggregates["min"]                               # 0.88

    table = scorer.score_rows(rows)                        # one StepScores a row; solutions share their question

All steps of a solution are scored in one pass (of the chat form too: later steps see `+` in place of a reply, as in
VisualPRM, arXiv 2503.10291, section 4.1), and all solutions of a question read its image, evidence and text once.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from medprm_hf.errors import ConfigError, DataError, ImageError
from medprm_hf.scoring.asked import IMAGE, Job, References, Row, batches, gathered, row_of
from medprm_hf.scoring.layout import Layout, Prefix, Steps
from medprm_hf.scoring.reader import Held, Reader
from medprm_hf.scoring.results import NO_NUMBER, TRUNCATED, StepScores
from medprm_hf.scoring.settings import PRMSettings

BATCH_TOKENS = {"cpu": 1024, "cuda": 65536}
"""Tokens of one pass, padding included; on a CPU small batches stay in its cache."""
ATTENDED = 16
"""Keys and values of prefixes are copied for each solution: at most this times batch_tokens of them in one pass."""


class Scorer:
    """Scores steps with one model. Not for several threads at once; `medprm serve` asks it from one."""

    def __init__(self, model: Any, processor: Any, settings: PRMSettings, name: str = "") -> None:
        self.settings = settings
        """Form, tokens, temperature and threshold, as published."""
        self.name = name
        """What it was opened as."""
        self.layout = Layout.open(processor, settings.layout)
        self.reader = Reader(model, self.layout)
        self.batch_tokens = BATCH_TOKENS.get(self.reader.device.type, BATCH_TOKENS["cuda"])
        self.remember = 0
        """Questions whose prefix is kept from call to call, for callers that send one solution at a time."""
        self._kept: OrderedDict[Any, tuple[Prefix, Held]] = OrderedDict()
        self.messages: dict[int, str] = {}
        """What was wrong with rows of the last `score_rows` that could not be scored, by their number."""

    @classmethod
    def open(
        cls,
        model: str | Path,
        device: str | None = None,
        dtype: str | None = None,
        settings: PRMSettings | str | Path | None = None,
    ) -> Any:
        """The scorer of a folder, a Hub id, phantom:prm, or a server (`openai:NAME?base_url=…`, see by_server.py).

        `settings` (or a folder with medprm.json) stands in for a checkpoint's own, and for a server's. Raises
        ConfigError where the model or its tokens cannot work, MissingExtraError without torch.
        """
        from medprm_hf.scoring.checkpoints import open_checkpoint, settings_of

        if ":" in str(model) and not str(model).startswith("phantom:") and not Path(model).exists():
            from medprm_hf.scoring.by_server import ServerScorer

            return ServerScorer.open(str(model), settings_of(settings))
        loaded, processor, found = open_checkpoint(model, device, dtype, settings_of(settings))
        return cls(loaded, processor, found, str(model))

    def score(
        self,
        question: str,
        steps: Sequence[str],
        image: Any = None,
        options: Sequence[str] = (),
        evidence: Sequence[Any] = (),
        clinical_context: str | None = None,
        references: Sequence[bytes] = (),
    ) -> StepScores:
        """One solution. `image`: bytes, a path or a PIL image; `evidence`: texts, or passages with `text`.

        Raises DataError without steps, ImageError where the image cannot be read.
        """
        row = row_of(question, steps, image, options, evidence, clinical_context)
        scored = self.score_rows([row], references=(lambda _: references) if references else None)
        if self.messages:
            failed = ImageError if IMAGE in scored[0].reasons else DataError
            raise failed(self.messages[0])
        return scored[0]

    def score_rows(
        self, rows: Sequence[Row], batch_tokens: int | None = None, references: References | None = None
    ) -> list[StepScores]:
        """One StepScores a row of the canonical table, in order; never raises for a row (see `messages`).

        `batch_tokens`: tokens of one pass at most, padding included (a single longer solution is still scored).
        """
        jobs, refused = gathered(rows, references)
        found = {
            place: StepScores.unknown(len(rows[place].get("steps") or ()), reason, self.settings)
            for place, (reason, _) in refused.items()
        }
        self.messages = {place: message for place, (_, message) in refused.items()}
        budget = batch_tokens or self.batch_tokens
        if budget < 1:
            raise ConfigError(f"batch_tokens={batch_tokens}: write 1 or more")
        found |= self._scored(jobs, budget)
        return [found[place] for place in range(len(rows))]

    def _scored(self, jobs: Sequence[Job], budget: int) -> dict[int, StepScores]:
        """Scores by row number: wave after wave of questions, so that few prefixes are held at once."""
        found: dict[int, StepScores] = {}
        mixes = self.reader.mixes
        # Lengths in letters are near enough to sort by, and cost nothing.
        sizes = [1 + len(job.case.question) // 4 + sum(map(len, job.case.evidence)) // 4 for job in jobs]
        for wave in batches(sizes, budget if mixes else 1):
            if self.remember and len(wave) == 1 and self.reader.shares:
                found |= self._remembered(jobs[wave[0]], budget)
            else:
                found |= self._wave([jobs[number] for number in wave], budget)
        return found

    def _wave(self, jobs: Sequence[Job], budget: int) -> dict[int, StepScores]:
        """The solutions of a few questions."""
        prefixes = [self.layout.prefix(job.case) for job in jobs]
        laid, found = self._laid(jobs, prefixes)
        alone = [one for one in laid if not self.reader.shares or len(jobs[one[0]].places) == 1]
        found |= self._whole(jobs, prefixes, alone, budget)
        shared = [one for one in laid if self.reader.shares and len(jobs[one[0]].places) > 1]
        if shared:
            used = sorted({number for number, _, _ in shared})
            held = self.reader.prefill([prefixes[number] for number in used], [jobs[number].case for number in used])
            slots = {number: place for place, number in enumerate(used)}
            found |= self._behind(jobs, slots, held, shared, budget)
        return found

    def _remembered(self, job: Job, budget: int) -> dict[int, StepScores]:
        """The solutions of one question, behind its prefix as it was read before if it is still known."""
        case = job.case
        key = (case.question, case.image, case.evidence, case.references)
        if key not in self._kept:
            prefix = self.layout.prefix(case)
            self._kept[key] = (prefix, self.reader.prefill([prefix], [case]))
            while len(self._kept) > self.remember:
                self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        prefix, held = self._kept[key]
        laid, found = self._laid([job], [prefix])
        return found | self._behind([job], {0: 0}, held, laid, budget)

    def _laid(
        self, jobs: Sequence[Job], prefixes: Sequence[Prefix]
    ) -> tuple[list[tuple[int, int, Steps]], dict[int, StepScores]]:
        """(question, solution, its tokens) of what fits into max_length, and the scores of what does not."""
        laid, lost = [], {}
        for number, (job, prefix) in enumerate(zip(jobs, prefixes, strict=True)):
            for solution, steps in enumerate(job.steps):
                try:
                    laid.append((number, solution, self.layout.steps(steps, len(prefix.ids))))
                except DataError:  # no room for the first step
                    lost[job.places[solution]] = StepScores.unknown(len(steps), TRUNCATED, self.settings)
        return laid, lost

    def _behind(
        self,
        jobs: Sequence[Job],
        slots: Mapping[int, int],
        held: Held,
        laid: Sequence[tuple[int, int, Steps]],
        budget: int,
    ) -> dict[int, StepScores]:
        """Solutions behind prefixes that have been read; `slots` says which of `held` is a question's."""
        found: dict[int, StepScores] = {}
        most = max(1, ATTENDED * budget // held.mask.shape[1])
        for batch in batches([len(steps.ids) for _, _, steps in laid], budget, most):
            chosen = [laid[place] for place in batch]
            logits = self.reader.behind(
                held, [slots[number] for number, _, _ in chosen], [steps for _, _, steps in chosen]
            )
            found |= self._of(jobs, chosen, logits)
        return found

    def _whole(
        self, jobs: Sequence[Job], prefixes: Sequence[Prefix], laid: Sequence[tuple[int, int, Steps]], budget: int
    ) -> dict[int, StepScores]:
        """Solutions that have their question to themselves."""
        found: dict[int, StepScores] = {}
        sizes = [len(prefixes[number].ids) + len(steps.ids) for number, _, steps in laid]
        for batch in batches(sizes, budget):
            chosen = [laid[place] for place in batch]
            joined = [
                self.layout.join(prefixes[number], jobs[number].steps[solution]) for number, solution, _ in chosen
            ]
            logits = self.reader.whole(joined, [jobs[number].case for number, _, _ in chosen])
            found |= self._of(jobs, chosen, logits)
        return found

    def _of(
        self, jobs: Sequence[Job], chosen: Sequence[tuple[int, int, Steps]], logits: Sequence[list[list[float]]]
    ) -> dict[int, StepScores]:
        """Scores by row number."""
        found = {}
        for (number, solution, _), rows in zip(chosen, logits, strict=True):
            job = jobs[number]
            broken = {place: NO_NUMBER for place, row in enumerate(rows) if any(value != value for value in row)}
            steps = len(job.steps[solution])
            found[job.places[solution]] = StepScores.of_logits(rows, steps, self.settings, broken)
        return found

    def close(self) -> None:
        """Nothing to give back; a server's scorer has connections."""
