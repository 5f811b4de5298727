"""process_reward: completions become rewards, and TRL's GRPO and RLOO train with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medprm_hf.errors import ConfigError
from medprm_hf.phantom.questions import question_rows
from medprm_hf.rewards import process_reward
from medprm_hf.scoring.scorer import Scorer
from tests.scoring.models import WORDS, scorer

SOLUTION = "\n".join(f"Step {number}: {step}" for number, step in enumerate(WORDS[:3], start=1))


@pytest.fixture(scope="module")
def prm() -> Scorer:
    return scorer("vision", "chat")


def test_rewards_are_the_scores_of_the_steps(prm: Scorer) -> None:
    (row,) = question_rows("test", 1, 0)
    told = {"question": [row["question"]] * 3, "options": [row["options"]] * 3, "image": [row["image"]] * 3}
    completions = [SOLUTION, "Nodules: one.", ""]
    found = process_reward(prm, "mean", weight=2.0)(["?"] * 3, completions, **told, completion_ids=[[1]] * 3)
    expected = prm.score(row["question"], WORDS[:3], row["image"], row["options"])
    assert found[0] == pytest.approx(2 * (expected.aggregates["mean"] or 0), abs=1e-6)
    assert found[1] is not None and found[2] is None
    assert process_reward(prm, "mean", unscored=0.0)(["?"] * 3, completions, **told)[2] == 0.0


def test_conversations_are_read(prm: Scorer) -> None:
    (row,) = question_rows("test", 1, 0)
    content = [{"type": "image"}, {"type": "text", "text": row["question"]}]
    prompt = [{"role": "system", "content": "Think."}, {"role": "user", "content": content}]
    said = [{"role": "assistant", "content": SOLUTION}]
    told = {"options": [row["options"]], "images": [[row["image"]]]}
    plain = process_reward(prm, "min")([row["question"]], [SOLUTION], **told)
    assert process_reward(prm, "min")([prompt], [said], **told) == plain
    assert plain == [pytest.approx(prm.score(row["question"], WORDS[:3], row["image"], row["options"]).score)]


def test_names_are_checked() -> None:
    with pytest.raises(ConfigError, match="aggregate='minn'.*min"):
        process_reward("runs/none", "minn")
    assert process_reward("runs/none", "min").__name__ == "process_reward_min"


@pytest.mark.slow
@pytest.mark.parametrize("method", ["GRPO", "RLOO"])
def test_trl_trains_with_it(method: str, text_base: Path, tmp_path: Path) -> None:
    """Two optimizer steps on the CPU: rewards are logged, weights move."""
    import torch
    import trl
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer

    asked = [{"prompt": row["question"], "options": row["options"]} for row in question_rows("train", 4, 0)]
    policy = AutoModelForCausalLM.from_pretrained(text_base)
    before = policy.model.layers[0].mlp.up_proj.weight.detach().clone()
    config: dict[str, Any] = {
        "output_dir": str(tmp_path), "per_device_train_batch_size": 4, "num_generations": 4, "max_steps": 2,
        "max_completion_length": 24, "learning_rate": 1e-2, "logging_steps": 1, "report_to": "none", "use_cpu": True,
        "bf16": False, "disable_tqdm": True, "save_strategy": "no",
    }  # fmt: skip
    trainer = getattr(trl, f"{method}Trainer")(
        model=policy,
        reward_funcs=process_reward(scorer("text", "marker"), "mean", unscored=0.0),
        args=getattr(trl, f"{method}Config")(**config),
        train_dataset=Dataset.from_list(asked),
        processing_class=AutoTokenizer.from_pretrained(text_base, padding_side="left"),
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "reward" in entry]
    assert len(logged) == 2 and all(0 <= entry["reward"] <= 1 for entry in logged)
    assert any(entry["reward_std"] > 0 for entry in logged)
    assert not torch.equal(before, policy.model.layers[0].mlp.up_proj.weight.detach())
