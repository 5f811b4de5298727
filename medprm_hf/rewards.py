"""A process reward model as the reward function of TRL's GRPO, RLOO and whatever else takes one.

    from medprm_hf.rewards import process_reward
    trainer = GRPOTrainer(model=…, reward_funcs=process_reward("runs/demo/prm", aggregate="min"), train_dataset=…)

Each completion is cut into its steps, scored, and its step scores become one reward by name (mean, min, last, product,
max). The trainer's dataset needs `prompt`; the columns `question` and `options` (else the prompt's last user text is
the question), `image` or `images`, `evidence` and `clinical_context` are shown to the model where they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.labels.aggregate import AGGREGATORS
from medprm_hf.registry import near
from medprm_hf.scoring.scorer import Scorer
from medprm_hf.text.steps import MAX_STEPS, split_steps

SHOWN = ("options", "evidence", "clinical_context", "turns")
"""Columns of the dataset that reach the reward model as they are."""

Reward = Callable[..., list[float | None]]


def process_reward(
    model: Any,
    aggregate: str | None = None,
    *,
    at_most: int = MAX_STEPS,
    unscored: float | None = None,
    weight: float = 1.0,
    **options: Any,
) -> Reward:
    """A reward function `(prompts, completions, **columns) -> [reward, …]`, one a completion.

    `model`: a `Scorer`, or what `Scorer.open` takes with `options` (device, dtype, settings); opened at the first call.
    `aggregate`: null for the model's own. `at_most`: steps that a completion is cut into. `unscored`: the reward where
    nothing can be scored (no text, no room); None lets TRL leave this reward out for that completion. `weight`
    multiplies rewards. Raises ConfigError for an unknown aggregator.
    """
    if aggregate is not None and aggregate not in AGGREGATORS:
        raise ConfigError(f"process_reward: aggregate={aggregate!r}{near(aggregate, AGGREGATORS)}")
    held: list[Any] = [model] if hasattr(model, "score_rows") else []

    def reward(prompts: Sequence[Any], completions: Sequence[Any], **columns: Any) -> list[float | None]:
        if not held:
            held.append(Scorer.open(model, **options))
        told = [{name: _at(columns, name, place) for name in _COLUMNS} for place in range(len(prompts))]
        rows = [_row(*one, at_most) for one in zip(prompts, completions, told, strict=True)]
        scored = held[0].score_rows(rows)
        if aggregate == "product" and held[0].settings.layout.equal:
            raise ConfigError("an advantage model's scores may be negative: aggregate by mean, min, last or max")
        found = [one.score if aggregate is None else one.aggregates.get(aggregate) for one in scored]
        return [unscored if value is None else weight * value for value in found]

    reward.__name__ = f"process_reward_{aggregate}" if aggregate else "process_reward"
    return reward


_COLUMNS = (*SHOWN, "question", "image", "images")


def _at(columns: Mapping[str, Any], name: str, place: int) -> Any:
    values = columns.get(name)
    return None if values is None else values[place]


def _row(prompt: Any, completion: Any, shown: Mapping[str, Any], at_most: int) -> dict[str, Any]:
    """A row of the canonical table."""
    steps = split_steps(_text(completion), at_most)
    images = shown["images"] if isinstance(shown["images"], list | tuple) else []
    return {
        **{name: shown[name] for name in SHOWN},
        "question": shown["question"] or _question(prompt),
        "image": shown["image"] if shown["image"] is not None else next(iter(images), None),
        "steps": [step.text or step.title for step in steps],
    }


def _question(prompt: Any) -> str:
    """The last user text of a conversation, or a plain prompt as it is."""
    if isinstance(prompt, str):
        return prompt
    asked = [turn for turn in prompt if turn.get("role") == "user"]
    return _content(asked[-1]["content"]) if asked else _text(prompt)


def _text(said: Any) -> str:
    """A completion's text: plain, or the turns of a conversation."""
    return said if isinstance(said, str) else "\n".join(_content(turn.get("content")) for turn in said)


def _content(content: Any) -> str:
    """A turn's text; images and other parts have none."""
    if content is None or isinstance(content, str):
        return content or ""
    return "\n".join(part["text"] for part in content if part.get("type") == "text" and part.get("text"))
