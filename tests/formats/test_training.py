"""Training scripts take our files: markers match labels under a tokenizer, turns alternate, TRL's code reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from medprm_hf import formats
from tests.formats.rows import row, rows

GROUP = [
    row(solution="Let me see.\nStep 1: Look.\nStep 2: So: left."),
    row(solution_index=1, steps=["Look.", "Hm.", "Left."], step_titles=None, labels=["+", "?", "-"], is_correct=False,
        expected_accuracy=[0.5, None, 0.0], rollout_correct=None, rollout_total=None, judge_labels=["+", "?", "-"]),
]


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """A byte-level BPE trained on nothing, with the marker added as Med-PRM's trainer adds it."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    built = Tokenizer(models.BPE(vocab={token: n for n, token in enumerate(alphabet)}, merges=[]))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    built.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=built)
    fast.add_special_tokens({"additional_special_tokens": [" ки"]})
    return fast


def markers(tokenizer: Any, text: str) -> int:
    marker = tokenizer.convert_tokens_to_ids(" ки")
    return sum(token == marker for token in tokenizer(text, add_special_tokens=False)["input_ids"])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture,
                                                                 HealthCheck.too_slow])
@given(group=rows())
def test_medprm_has_a_marker_token_for_every_label(tokenizer: Any, group: list[dict[str, Any]], tmp_path: Path) -> None:
    formats.write([*group, *GROUP], tmp_path / "m.json", "medprm")
    for question in json.loads((tmp_path / "m.json").read_text()):
        for solution in question["solutions"]:
            text = solution["prm_processed_solution"]
            assert "\n" not in text
            for key in ("prm_gemini_label", "prm_llama_label", "prm_soft_label", "prm_hard_label"):
                if key in solution:
                    assert len(solution[key]) == markers(tokenizer, text)
            assert markers(tokenizer, solution["orm_processed_solution"]) == 1


def test_the_marker_rules_of_medprm(tmp_path: Path) -> None:
    formats.write(GROUP, tmp_path / "m.json", "medprm")
    (question,) = json.loads((tmp_path / "m.json").read_text())
    first, second = question["solutions"]
    assert first["prm_processed_solution"] == "Let me see. Step 1: Look. ки Step 2: So: left. ки"
    assert first["orm_processed_solution"] == "Let me see. Step 1: Look. Step 2: So: left. ки"
    assert second["prm_processed_solution"] == "Step 1: Look. ки Step 2: Hm. Step 3: Left. ки"
    assert (second["prm_gemini_label"], second["prm_llama_label"]) == ([1, 0], [1, 0])
    assert (second["prm_soft_label"], second["prm_hard_label"], second["orm_label"]) == ([0.5, 0.0], [1, 0], 0)


def test_visualprm_turns_alternate_as_internvl_expects(tmp_path: Path) -> None:
    image = {"bytes": b"\x89PNG\r\n\x1a\n0", "path": None}
    formats.write([*GROUP, row(image=image)], tmp_path / "v.jsonl", "visualprm")
    for line in (tmp_path / "v.jsonl").read_text().splitlines():
        record = json.loads(line)
        roles = [turn["from"] for turn in record["conversations"]]
        assert roles == ["system", *["human", "gpt"] * (len(roles) // 2)]
        assert {turn["value"] for turn in record["conversations"][2::2]} <= {"+", "-"}
        tags = sum(turn["value"].count("<image>") for turn in record["conversations"])
        assert tags == ("image" in record)


def test_trl_takes_the_preference_file(tmp_path: Path) -> None:
    import datasets
    from trl import data_utils

    for conversational in (False, True):
        path = tmp_path / f"p{conversational}.jsonl"
        report = formats.write(GROUP, path, "preference", conversational=conversational)
        assert report.records == 1
        loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
        example = loaded[0]
        assert data_utils.is_conversational(example) is conversational
        assert set(example) == {"prompt", "chosen", "rejected"}
        unpaired = data_utils.unpair_preference_dataset(loaded)
        assert unpaired["label"] == [True, False]
        pair = data_utils.extract_prompt({"chosen": "Side? Left.", "rejected": "Side? Right."})
        assert data_utils.maybe_extract_prompt(example)["prompt"] == example["prompt"]
        assert pair["prompt"] == "Side?"


def test_the_stepwise_file_loads_with_the_types_that_a_trainer_needs(tmp_path: Path) -> None:
    import datasets

    path = tmp_path / "s.jsonl"
    formats.write(GROUP, path, "stepwise")
    loaded = datasets.load_dataset("json", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache"))
    assert loaded.features["labels"].feature.dtype == "bool"
    assert [len(one) for one in loaded["completions"]] == [len(one) for one in loaded["labels"]] == [2, 2]
    assert loaded[1]["completions"] == ["Look.", "Hm.\nLeft."]


OLD_TRL = """
import sys
from datasets import load_dataset
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForTokenClassification
from trl.experimental.prm import PRMConfig, PRMTrainer
path, tokenizer, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(tokenizer)
rows = load_dataset("json", data_files=path, split="train", cache_dir=out)
for row in rows:
    made = PRMTrainer.tokenize_row(row, tokenizer, "\\n", None, None, False, False)
    print([label for label in made["labels"] if label != -100])
size = dict(hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2)
model = Qwen2ForTokenClassification(Qwen2Config(vocab_size=len(tokenizer), num_labels=2, **size))
config = PRMConfig(output_dir=out, max_steps=1, use_cpu=True, bf16=False, report_to="none", save_strategy="no")
told = PRMTrainer(model=model, args=config, train_dataset=rows, processing_class=tokenizer).train()
print(told.global_step, told.training_loss > 0)
"""


@pytest.mark.slow
def test_trl_1_13_trains_on_the_stepwise_file(tokenizer: Any, tmp_path: Path) -> None:
    """In a folder of its own, since TRL removed the type in 1.14 (huggingface/trl#7133)."""
    old = tmp_path / "trl-1.13"  # found before the installed trl; everything that it needs is this venv's
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(old), "trl==1.13.0"]
    if subprocess.run(install, check=False, timeout=600).returncode:
        pytest.skip("trl 1.13 cannot be installed here")
    formats.write(GROUP, tmp_path / "s.jsonl", "stepwise")
    tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    command = [sys.executable, "-c", OLD_TRL, str(tmp_path / "s.jsonl"), str(tmp_path / "tokenizer"), str(tmp_path)]
    found = os.environ | {"PYTHONPATH": str(old)}
    told = subprocess.run(command, check=False, capture_output=True, text=True, timeout=600, env=found)
    assert told.returncode == 0, told.stderr[-2000:]
    assert [line for line in told.stdout.splitlines() if line[0] != "{"] == ["[1, 1]", "[1, 0]", "1 True"]
