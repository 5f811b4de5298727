"""What a recipe will cost, before anything is asked: tokens and USD per stage, and everything that was assumed.

    estimate(recipe)     questions × solutions × steps × rollouts, prompts measured on the source's own rows

Each figure is a range, low, likely, high. `--assume steps=7` replaces an assumption.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl

from medprm_hf.backends.money.image_tokens import image_tokens
from medprm_hf.backends.money.prices import LOCAL_KINDS, PriceTable
from medprm_hf.errors import ConfigError
from medprm_hf.recipe import Recipe
from medprm_hf.registry import near
from medprm_hf.runs.costs import Assumption, Range, Work, spread, total
from medprm_hf.runs.measure import CHARACTERS_A_TOKEN, Source, measure
from medprm_hf.runs.money import price_table
from medprm_hf.runs.rollout_counts import AFTER, BEFORE, rollout_counts

_OVERHEAD = 20
"""Tokens of chat template and answer line around a text."""
_PREMISE_PROMPT = 250
"""Tokens of the premise mode's prompts without steps or claim."""


@dataclass(frozen=True)
class Estimate:
    """What is expected of a run."""

    works: list[Work]
    assumptions: list[Assumption]
    labels: Range
    all_rollout: Range | None
    """USD when every step of every solution gets k rollouts; None: price unknown."""
    all_expert: Range
    """USD when an expert reads every step."""
    prices: PriceTable
    notes: list[str] = field(default_factory=list)

    @property
    def usd(self) -> Range | None:
        """USD in all; None where a price is not known."""
        return total(self.works, self.prices)

    @property
    def per_label(self) -> Range | None:
        """USD a step label (likely cost over likely labels, and so on)."""
        usd = self.usd
        return None if usd is None else Range(*(u / n if n else 0.0 for u, n in zip(usd, self.labels, strict=True)))


def estimate(recipe: Recipe, assume: Mapping[str, Range] | None = None, source: Source | None = None) -> Estimate:
    """The estimate of a recipe; reads the source, asks no model.

    Args:
        recipe: what would be built.
        assume: figures that replace assumptions, by their names.
        source: what `measure` found, if it was called before.
    """
    book = _Book(recipe, dict(assume or {}), source or measure(recipe))
    prices = price_table(recipe)
    works = [work for stage in recipe.stages for work in _WORKS.get(stage, _nothing)(book, prices)]
    labels = book["questions"].times(recipe.generate.solutions).times(book["steps"])
    everywhere = _rollouts(book, prices, fixed=True)
    book.refuse_unused()
    return Estimate(
        works,
        list(book.used.values()),
        labels,
        total(everywhere, prices),
        labels.times(prices.person("expert_step")),
        prices,
        _notes(recipe, book, works, prices),
    )


class _Book:
    """The assumptions, each made when first asked for; those given by the user go before."""

    def __init__(self, recipe: Recipe, given: dict[str, Range], source: Source) -> None:
        self.recipe, self.given, self.source = recipe, given, source
        self.used: dict[str, Assumption] = {}
        at_least = "" if source.counted else ", which had more"
        measured = f"measured on {source.rows} rows of {recipe.source.name}"
        low, high = recipe.generate.min_steps, recipe.generate.max_steps
        quarter = (high - low) / 4
        self._known: dict[str, tuple[Range, str, str]] = {
            "questions": (spread(source.questions), "", f"counted in {recipe.source.name}{at_least}"),
            "solve_prompt": (_tokens(source.solve_characters), "tokens", f"{measured}; {CHARACTERS_A_TOKEN[1]:g} "
                             "characters a token"),
            "judge_prompt": (_tokens(source.judge_characters), "tokens", f"{measured}, without steps and evidence"),
            "steps": (spread(low + quarter, (low + high) / 2, high - quarter), "a solution",
                      f"assumed: the middle of generate.min_steps={low} to max_steps={high}"),
            "step_tokens": (spread(25, 40, 70), "tokens a step", "assumed"),
            "asks": (spread(1.25, 1.4, 2.0), "a solution kept", "generate asks 1.25 N, then 3 x what lacks"),
            "wrong_solutions": (spread(0.6, 0.4, 0.2), "share", f"assumed; rollouts are right {BEFORE:.0%} of the time "
                                f"before the first wrong step, {AFTER:.0%} after"),
            "verdict_tokens": (spread(35, 55, 90), "tokens a step", "assumed: one JSON entry with its reason"),
            "evidence": (spread(1000, 2500, 3072), "tokens", "3,072 tokens of passages at most (Med-PRM)"),
            "claims": (spread(2, 4, 7), "a solution", "assumed: what its steps claim to see, each checked by itself"),
            "doubtful": (spread(0.15, 0.3, 0.45), "share of steps", "assumed: about 30 % (M8)"),
        }  # fmt: skip

    def __getitem__(self, name: str) -> Range:
        value, unit, how = self._known[name]
        if name in self.given:
            value, how = self.given[name], "given with --assume"
        self.used[name] = Assumption(name, value, unit, how)
        return value

    def note(self, name: str, value: Range, unit: str, how: str) -> Range:
        """A figure that follows from others, or one of a model."""
        if name in self.given:
            value, how = self.given[name], "given with --assume"
        self.used[name] = Assumption(name, value, unit, how)
        return value

    def image(self, identity: str, local: bool, prices: PriceTable) -> Range:
        """Tokens of an image for a model, the mean over the rows that were looked at."""
        tariff = prices.tariff(identity, local)
        rule = tariff.image if tariff else {}
        source = self.source
        if not source.sizes:
            return spread(0.0)
        share = len(source.sizes) / source.rows
        mean = sum(image_tokens(*size, rule) for size in source.sizes) / len(source.sizes)
        how = f"rule {rule.get('rule', 'qwen (28-pixel patches)')}, {len(source.sizes)} images of {source.rows} rows"
        return self.note(f"image_tokens {identity}", spread(round(mean * share)), "tokens a question", how)

    def refuse_unused(self) -> None:
        """ConfigError for an assumption that nobody has asked for."""
        for name in self.given:
            if name not in self.used:
                raise ConfigError(f"--assume {name}: this estimate has no such figure{near(name, self.used)}")


def _generate(book: _Book, prices: PriceTable) -> list[Work]:
    spec = book.recipe.generate
    identity, local, batch = model_of(spec.backend, prices)
    asked = book["asks"]
    written = book["steps"].times(book["step_tokens"]).plus(_OVERHEAD).upto(spec.max_tokens)
    prompt = book["solve_prompt"].plus(_OVERHEAD).plus(book.image(identity, local, prices))
    questions = book["questions"]
    rounds = spread(1.0, 1.2, 2.0).plus(1.0 if spec.greedy_first else 0.0)
    units = questions.times(spec.solutions).times(asked)
    calls = questions.times(rounds) if _several(identity) else units
    return [Work("generate", "solution", units, identity, local, batch, calls, prompt, written)]


def _rollout(book: _Book, prices: PriceTable) -> list[Work]:
    return _rollouts(book, prices, fixed=False)


def _rollouts(book: _Book, prices: PriceTable, fixed: bool) -> list[Work]:
    """Rollouts as the recipe's estimator asks for them, or (`fixed`) k of every step."""
    spec = book.recipe.rollout
    identity, local, batch = model_of(spec.backend, prices)
    solutions = book["questions"].times(book.recipe.generate.solutions)
    steps, step = book["steps"], book["step_tokens"]
    if fixed:
        requests = steps.plus(-1.0)
        rollouts = requests.times(spec.k)
    else:
        found = [rollout_counts(spec, s, w) for s, w in zip(steps, book["wrong_solutions"], strict=True)]
        how = f"estimator {spec.estimator}, run on invented solutions; the last prefix answers itself"
        rollouts = book.note("rollouts", Range(*(each.rollouts for each in found)), "a solution", how)
        requests = Range(*(each.requests for each in found))
    if spec.where == "unsure":
        rollouts, requests = rollouts.times(book["doubtful"]), requests.times(book["doubtful"])
    half = steps.times(step).times(0.5)
    prompt = book["solve_prompt"].plus(_OVERHEAD).plus(half).plus(book.image(identity, local, prices))
    units = solutions.times(rollouts)
    calls = solutions.times(requests) if _several(identity) else units
    return [Work("rollout", "rollout", units, identity, local, batch, calls, prompt, half.plus(_OVERHEAD))]


def _judge(book: _Book, prices: PriceTable) -> list[Work]:
    spec = book.recipe.judge
    steps, single = book["steps"], spec.per == "step"
    # A step's call shows the steps up to it: half of them, taken over all steps.
    prompt = book["judge_prompt"].plus(steps.times(0.5 if single else 1.0).times(book["step_tokens"].plus(15)))
    if "retrieve" in book.recipe.stages:
        prompt = prompt.plus(book["evidence"])
    verdict = (book["verdict_tokens"] if single else steps.times(book["verdict_tokens"])).plus(_OVERHEAD)
    units = book["questions"].times(book.recipe.generate.solutions).times(spec.samples)
    units = units.times(steps) if single else units
    works = []
    for backend in spec.judges():
        identity, local, batch = model_of(backend, prices)
        shown = prompt.plus(book.image(identity, local, prices))
        said = verdict.upto(spec.max_tokens)
        works.append(Work("judge", "verdict", units, identity, local, batch, None, shown, said))
    return [*works, *_premises(book, prices)] if spec.mode == "premise" else works


def _premises(book: _Book, prices: PriceTable) -> list[Work]:
    """The visual-premise mode: the first judge lists what a solution claims to see, and checks each claim."""
    identity, local, batch = model_of(book.recipe.judge.judges()[0], prices)
    solutions = book["questions"].times(book.recipe.generate.solutions)
    listing = book["steps"].times(book["step_tokens"].plus(15)).plus(_PREMISE_PROMPT)
    claim = book.image(identity, local, prices).plus(_PREMISE_PROMPT)
    said = book["claims"].times(20).plus(_OVERHEAD)
    return [
        Work("judge", "list of claims", solutions, identity, local, batch, None, listing, said),
        Work("judge", "claim", solutions.times(book["claims"]), identity, local, batch, None, claim, spread(30)),
    ]


def _calibrate(book: _Book, prices: PriceTable) -> list[Work]:
    spec = book.recipe.calibrate
    solutions = book["questions"].times(book.recipe.generate.solutions)
    sampled = solutions.upto(spec.solutions) if spec.solutions is not None else solutions.times(spec.share)
    return [_people("calibrate", sampled.times(book["steps"]), spec.reviewer, prices)]


def _review(book: _Book, prices: PriceTable) -> list[Work]:
    spec = book.recipe.review
    steps = book["questions"].times(book.recipe.generate.solutions).times(book["steps"])
    # By value or at random the share is used up; by doubt only steps that are marked are asked.
    asked = steps.times(book["doubtful"].upto(spec.share) if spec.order == "doubt" else spec.share)
    return [_people("review", asked, spec.reviewer, prices)]


def _people(stage: str, asked: Range, reviewer: str, prices: PriceTable) -> Work:
    """Steps that experts read, or that something simulated answers for nothing."""
    simulated = reviewer.partition(":")[0] in LOCAL_KINDS
    each = None if simulated else prices.person("expert_step")
    name = f"{reviewer.partition(':')[0]}:" if simulated else "expert"
    return Work(stage, "step", asked, name, simulated, usd_each=each)


def _questions(book: _Book, prices: PriceTable) -> list[Work]:
    """Questions that a model will have to write, by the share of rows without one."""
    source = book.source
    if not source.without_question:
        return []
    units = book["questions"].times(source.without_question / source.rows)
    return [Work("questions", "written question", units, "writer", usd_each=prices.person("written_question"))]


def _nothing(book: _Book, prices: PriceTable) -> list[Work]:
    return []


_WORKS = {
    "questions": _questions,
    "generate": _generate,
    "rollout": _rollout,
    "judge": _judge,
    "calibrate": _calibrate,
    "review": _review,
}


def model_of(spec: str, prices: PriceTable) -> tuple[str, bool, bool]:
    """Identity of a backend spec, whether it is local, and whether it goes through a batch API; nothing is opened."""
    kind, _, rest = spec.partition(":")
    target, _, query = rest.partition("?")
    options = dict(parse_qsl(query))
    url = options.get("base_url", "").split(",")[0]
    local = kind in LOCAL_KINDS or bool(url and prices.is_local(url))
    return f"{kind}:{target}", local, options.get("batch", "0") not in ("0", "", "false")


def _several(identity: str) -> bool:
    """Whether one call gives several completions for one prompt: not counted on for Gemini."""
    return not identity.startswith("gemini:")


def _tokens(characters: float) -> Range:
    return Range(*(characters / each for each in CHARACTERS_A_TOKEN))


def _notes(recipe: Recipe, book: _Book, works: Sequence[Work], prices: PriceTable) -> list[str]:
    notes = [f"prices of {prices.date}; compare with the providers' pages"]
    unknown = sorted({work.model for work in works if work.usd(prices) is None})
    if unknown:
        notes.append(f"no price is known for {', '.join(unknown)}: give it with --prices FILE or the recipe key prices")
    if any(work.local and work.stage not in ("calibrate", "review") for work in works):
        notes.append("local: a model on your own machine; its electricity and hardware are not counted")
    if "review" not in recipe.stages:
        doubt = book["doubtful"].likely * book["questions"].likely * recipe.generate.solutions * book["steps"].likely
        usd = doubt * prices.person("expert_step")
        notes.append(f"no review stage: an expert on the doubtful steps would add about ${usd:,.0f}")
    if not book.source.counted:
        notes.append("the source is longer than was counted: give --assume questions=N")
    return notes


def as_dict(found: Estimate) -> dict[str, Any]:
    """Plain values for --json; USD are null where a price is not known."""

    def plain(usd: Range | None) -> dict[str, float] | None:
        return None if usd is None else {name: round(value, 6) for name, value in usd._asdict().items()}

    return {
        "usd": plain(found.usd),
        "labels": found.labels._asdict(),
        "usd_per_label": plain(found.per_label),
        "all_rollout_usd": plain(found.all_rollout),
        "all_expert_usd": plain(found.all_expert),
        "prices_date": found.prices.date,
        "stages": [
            {
                "stage": work.stage,
                "what": work.what,
                "model": work.model,
                "local": work.local,
                "units": work.units._asdict(),
                "prompt_tokens": work.tokens()[0]._asdict(),
                "completion_tokens": work.tokens()[1]._asdict(),
                "usd": plain(work.usd(found.prices)),
            }
            for work in found.works
        ],
        "assumptions": [each.as_dict() for each in found.assumptions],
        "notes": found.notes,
    }
