"""The prefixes of a batch of solutions, and the rollouts that have been drawn from each.

Prefixes that are equal in several solutions of a question are one `Prefix`: what is drawn from it serves them all.
`PrefixPool.draw` asks for what a round lacks, all rollouts of one prefix in one request. With shuffled options
the order hangs on the number of the draw, a few draws sharing one (`shared_order`): a request holds only those of
one order, and the draw of a number is the same however a prefix is asked, so that a journal finds it again.

    "Nodules: one."                     of s0, s1, s2    ← one Prefix, its outcomes used by all three
    "Nodules: one.\n\nSolid, 7 mm."     of s0
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from medprm_hf.backends.protocol import Backend, Completion, Failure, Reply, Request, Sampling
from medprm_hf.ids import content_hash, stable_seed
from medprm_hf.specs import RolloutSpec
from medprm_hf.stages.asking import ask_each, sampling_of, solve_messages
from medprm_hf.stages.base import Row
from medprm_hf.text.answers import matches, read_answer
from medprm_hf.text.option_order import in_words, option_order, order_matters
from medprm_hf.text.prompts import letter
from medprm_hf.text.steps import prefix_text, split_steps

RIGHT, WRONG, UNREADABLE, FAILED = "right", "wrong", "unreadable", "failed"
OUTCOME_OF = {True: RIGHT, False: WRONG, None: UNREADABLE}
SHUFFLED_AT_ONCE = 4
"""Rollouts that share one order of the options: 16 rollouts of 4 options show each option 4 times in each place."""
SHUFFLED_FEW = 2
"""The same for estimators that ask for a few rollouts at a time."""

Pair = tuple[int, int]
"""(row, step)."""


@dataclass
class Prefix:
    """One distinct prefix of a question: its rollouts serve every solution that begins with it."""

    row: Row
    text: str
    outcomes: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """Whole solutions that its rollouts gave, where they are kept: prefix and completion."""


class _Asked(NamedTuple):
    """One request, and the question as the model sees it there."""

    prefix: Prefix
    shown: Row
    request: Request


class _Replied(NamedTuple):
    """What a reply says of its prefix."""

    outcomes: list[str]
    failures: list[Failure]
    texts: list[str]
    continuation: str


@dataclass
class PrefixPool:
    """The prefixes of a batch while its rollouts arrive."""

    spec: RolloutSpec
    rows: list[Row]
    prefixes: list[list[Prefix]]
    """[rows][steps]; equal prefixes of a question are the same object."""
    taken: dict[Pair, list[str]] = field(default_factory=dict)
    """Outcomes that (row, step) has used."""
    empty: dict[str, Prefix] = field(default_factory=dict)
    """The empty prefix of each question, where it was asked."""
    continuation: str = "none"

    @classmethod
    def of(cls, spec: RolloutSpec, rows: list[Row]) -> PrefixPool:
        """The pool of these solutions; nothing is drawn yet."""
        distinct: dict[tuple[str, str], Prefix] = {}
        opened = []
        for row in rows:
            *inner, whole = prefixes(row["solution"], row["steps"])
            shared = [distinct.setdefault((row["question_id"], text), Prefix(row, text)) for text in inner]
            opened.append([*shared, Prefix(row, whole)])  # a whole solution answers itself: never shared
        return cls(spec, rows, opened)

    def draw(self, pairs: Sequence[Pair], backend: Backend) -> list[str]:
        """One round: an outcome for each pair, drawn now where the prefix has none left that the pair has not used."""
        wanted = Counter(pairs)
        lacking: dict[int, tuple[Prefix, int]] = {}
        for (row, step), count in wanted.items():
            prefix = self.prefixes[row][step]
            need = len(self.taken.get((row, step), [])) + count - len(prefix.outcomes)
            if step == len(self.prefixes[row]) - 1:
                prefix.outcomes += [self.own_outcome(row)] * need
            elif need > lacking.get(id(prefix), (prefix, 0))[1]:
                lacking[id(prefix)] = (prefix, need)
        self.ask(list(lacking.values()), backend)
        return [self._take(pair) for pair in pairs]

    def _take(self, pair: Pair) -> str:
        used = self.taken.setdefault(pair, [])
        used.append(self.prefixes[pair[0]][pair[1]].outcomes[len(used)])
        return used[-1]

    def own_outcome(self, row: int) -> str:
        """The outcome of a prefix that is the whole solution: its own answer."""
        return OUTCOME_OF[self.rows[row]["is_correct"]]

    def ask(self, lacking: Sequence[tuple[Prefix, int]], backend: Backend) -> None:
        """Draws so many more rollouts of each prefix; each reply is read as it arrives, and counted in order."""
        asked: list[tuple[Prefix, Row]] = []
        replied: dict[int, _Replied] = {}

        def requests() -> Iterator[Request]:
            for prefix, need in lacking:
                for one in self._requests(prefix, need):
                    asked.append((one.prefix, one.shown))
                    yield one.request

        def done(number: int, reply: Reply) -> None:
            replied[number] = self._read(*asked[number], reply)

        ask_each(backend, requests(), done)
        for number, (prefix, _) in enumerate(asked):
            read = replied[number]
            prefix.outcomes += read.outcomes
            prefix.failures += read.failures
            prefix.texts += read.texts
            if prefix.text:
                self.continuation = read.continuation

    def _read(self, prefix: Prefix, shown: Row, reply: Reply) -> _Replied:
        kept = self.spec.keep_solutions and shown is prefix.row
        answered = reply.completions if kept else ()
        return _Replied(
            [_outcome(shown, prefix, place) for place in reply.places],
            [place for place in reply.places if isinstance(place, Failure)],
            [prefix.text + place.text for place in answered if place.finish_reason == "stop"],
            reply.continuation,
        )

    def _requests(self, prefix: Prefix, need: int) -> list[_Asked]:
        options = prefix.row["options"] or []
        bound = order_matters(prefix.text, options)
        size = shared_order(self.spec) if self.spec.shuffle_options and options and not bound else 0
        asked, at, end = [], len(prefix.outcomes), len(prefix.outcomes) + need
        while at < end:
            until = min(end, at - at % size + size) if size else end
            shown = prefix.row if bound or not options else self._shown(prefix, at // (size or 1))
            asked.append(_Asked(prefix, shown, self._request(prefix, shown, until - at, at)))
            at = until
        return asked

    def _shown(self, prefix: Prefix, turn: int) -> Row:
        """The question as its order number `turn` shows it: options away, in another order, or as they are."""
        row, options = prefix.row, prefix.row["options"]
        if not self.spec.options_shown:
            return {**row, "options": []}
        if not self.spec.shuffle_options:
            return row
        seed = stable_seed(self.spec.seed, row["question_id"], prefix.text)
        order = option_order(len(options), turn, seed)
        gold = row["answer_index"]
        known = gold is not None and 0 <= gold < len(options)
        return {**row, "options": [options[i] for i in order], "answer_index": order.index(gold) if known else None}

    @cached_property
    def _sampling(self) -> Sampling:
        return sampling_of(self.spec)

    def _request(self, prefix: Prefix, shown: Row, n: int, first: int) -> Request:
        return Request(
            solve_messages(shown, self.spec.prompt),
            n=n,
            sampling=self._sampling,
            prefix=prefix.text,
            key=f"{shown['question_id']}/rollout/{content_hash(prefix.text)}",
            first=first,
            about={"question_id": shown["question_id"]},
        )


def shared_order(spec: RolloutSpec) -> int:
    """Draws of a prefix that share one order of the options."""
    return SHUFFLED_AT_ONCE if spec.estimator == "fixed" else SHUFFLED_FEW


def _outcome(shown: Row, prefix: Prefix, place: Completion | Failure) -> str:
    """What one rollout counts as. The answer may stand in the prefix, with only a remark after it; not so in a
    completion that was cut: what it was about to say is unknown."""
    if isinstance(place, Failure):
        return FAILED
    options = shown["options"] or []
    text = prefix.text + place.text if place.finish_reason == "stop" else place.text
    answer = read_answer(text, options)
    if not options and prefix.row["options"]:
        return _said_in_words(answer, prefix.row)
    return OUTCOME_OF[matches(answer, options, shown["answer"], shown["answer_index"])]


def _said_in_words(answer: str | None, row: Row) -> str:
    """An answer to options that were not shown: the option it names; wrong where it names none of them, and not
    to be read where it names two."""
    named = in_words(answer, row["options"]) if answer is not None else None
    if named is None:
        return UNREADABLE
    if not named:
        return WRONG
    return OUTCOME_OF[matches(letter(named[0]), row["options"], row["answer"], row["answer_index"])]


def prefixes(solution: str, steps: Sequence[str]) -> list[str]:
    """Text of the prefix that ends with each step, [num_steps], as the solution itself writes it; steps that
    were not cut from that text (imported ones) are joined by blank lines."""
    found = split_steps(solution)
    if [step.text for step in found] == list(steps):
        return [prefix_text(solution, found, j) for j in range(len(found))]
    return ["\n\n".join(steps[: j + 1]) for j in range(len(steps))]
