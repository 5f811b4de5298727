"""Scoring 20 questions x 16 solutions: the shared prefix read once, beside one solution at a time with full logits.

    python tests/benchmarks/scoring.py [--questions 20] [--sample 4] [--repeats 3] [--json]

text    a random Llama of about 8 M parameters (hidden 256, 6 layers, vocabulary 7,300, untied head), marker form,
        prefix about 1,000 tokens (evidence and question), suffix about 200 in 8 steps
vision  a random tiny Qwen2.5-VL (2 M parameters), chat form, an image of 256 tokens, as many solutions

Beside it, Med-PRM's way: each solution by itself, the whole prompt, logits of the whole vocabulary at every token,
the image prepared and encoded again. It does the same for an even sample of the solutions (`--sample` of the 16 of
each question; 16: all), compared per solution. One thread, core-seconds (time.process_time) from rows to scores,
medians of the repeats, which alternate. `max_abs_dp` is over the sample.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import torch
from PIL import Image

from medprm_hf.phantom import model as phantom
from medprm_hf.scoring.layout import Case
from medprm_hf.scoring.scorer import Scorer
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings

Row = dict[str, Any]
SOLUTIONS, STEPS = 16, 8
GOALS = {"text": 4.5, "vision": 3.0}
DP_GOAL = 1e-5
VOCABULARY = 7300


def text_scorer() -> tuple[Scorer, Callable[[random.Random, int], str]]:
    """A random Llama and a tokenizer of as many words."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    words = ["<unk>", "<s>", "</s>", " +", " -", " ки"]
    words += [f" w{number}" for number in range(VOCABULARY - len(words))]
    inner = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_next")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=256, intermediate_size=640, num_hidden_layers=6, num_attention_heads=4,
        max_position_embeddings=2048, tie_word_embeddings=False, pad_token_id=2,
    )  # fmt: skip
    layout = LayoutSettings(form="marker", template="plain", system="", plus="+", minus="-")

    def text(rng: random.Random, tokens: int) -> str:
        return "".join(f" w{rng.randrange(7000)}" for _ in range(tokens)).strip()

    return Scorer(LlamaForCausalLM(config).eval(), tokenizer, PRMSettings(layout)), text


def vision_scorer() -> tuple[Scorer, Callable[[random.Random, int], str]]:
    """A random tiny Qwen2.5-VL whose processor makes 256 tokens of an image of 256 x 256 pixels."""
    model, processor = phantom.build(seed=0)
    processor.image_processor.size = {"shortest_edge": 64 * 64, "longest_edge": 256 * 256}

    def text(rng: random.Random, tokens: int) -> str:
        letters = "".join(rng.choice("abcdefghij klmnop") for _ in range(tokens))
        return f"a{letters[:-1].strip()}"

    return Scorer(model.eval(), processor, PRMSettings(LayoutSettings(system=""))), text


def make_rows(case: str, text: Callable[[random.Random, int], str], questions: int) -> list[Row]:
    """Rows of the canonical table; suffixes vary by a fifth."""
    rng = random.Random(0)
    rows: list[Row] = []
    for number in range(questions):
        question: Row = {"question_id": str(number), "question": text(rng, 100), "options": []}
        if case == "text":
            question["evidence"] = [{"text": text(rng, 290)} for _ in range(3)]
        else:
            picture = Image.effect_noise((256, 256), 60)
            held = io.BytesIO()
            picture.save(held, "PNG")
            question["image"] = {"bytes": held.getvalue(), "path": None}
        for _ in range(SOLUTIONS):
            length = rng.randint(160, 220) // STEPS if case == "text" else rng.randint(90, 130) // STEPS
            rows.append({**question, "steps": [text(rng, length) for _ in range(STEPS)]})
    return rows


def one_at_a_time(scorer: Scorer, rows: Sequence[Row]) -> list[list[float]]:
    """Each solution by itself with the logits of every token and word."""
    found = []
    layout, model = scorer.layout, scorer.reader.model
    for row in rows:
        laid = layout.lay(Case.of_row(row))
        with torch.no_grad():
            logits = model(**layout.collate([laid]), use_cache=False).logits
        both = logits[0, laid.positions][:, list(layout.label_ids)].softmax(-1)
        found.append(both[:, 0].tolist())
    return found


def core_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    """Processor time of all threads of this process, and what the work gave."""
    begun = time.process_time()
    done = work()
    return time.process_time() - begun, done


def measure(case: str, questions: int, sample: int, repeats: int) -> list[dict[str, Any]]:
    """All figures of a case."""
    torch.set_num_threads(1)
    scorer, text = {"text": text_scorer, "vision": vision_scorer}[case]()
    rows = make_rows(case, text, questions)
    few = [place for place in range(len(rows)) if place % SOLUTIONS < sample]
    laid = [scorer.layout.lay(Case.of_row(row)) for row in rows]
    ours, theirs, gap = [], [], 0.0
    one_at_a_time(scorer, rows[:2])
    scorer.score_rows(rows[:SOLUTIONS])  # both warm
    for _ in range(repeats):
        fast, scored = core_seconds(lambda: scorer.score_rows(rows))
        slow, plain = core_seconds(lambda: one_at_a_time(scorer, [rows[place] for place in few]))
        ours.append(fast / len(rows))
        theirs.append(slow / len(few))
        pairs = zip([scored[place].p_plus for place in few], plain, strict=True)
        gap = max(gap, max(abs(a - b) for mine, other in pairs for a, b in zip(mine, other, strict=True)))
    ratio = statistics.median(slow / fast for fast, slow in zip(ours, theirs, strict=True))
    return [
        figure(case, "parameters", sum(p.numel() for p in scorer.reader.model.parameters()) / 1e6, "million"),
        figure(case, "prefix", statistics.mean(one.shared for one in laid), "tokens"),
        figure(case, "suffix", statistics.mean(len(one.input_ids) - one.shared for one in laid), "tokens"),
        figure(case, "one_at_a_time", 1000 * statistics.median(theirs), "core-ms / solution"),
        figure(case, "shared_prefix", 1000 * statistics.median(ours), "core-ms / solution"),
        figure(case, "speedup", ratio, "x", GOALS[case], ratio >= GOALS[case]),
        figure(case, "max_abs_dp", gap, "probability", DP_GOAL, gap <= DP_GOAL),
    ]


def figure(
    case: str, metric: str, value: float, unit: str, goal: float | None = None, holds: bool | None = None
) -> dict[str, Any]:
    """One line of the report."""
    return {"case": case, "metric": metric, "value": value, "unit": unit, "goal": goal, "holds": holds}


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--sample", type=int, default=4, help="Solutions of each question that are also done singly.")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--case", action="append", choices=sorted(GOALS))
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for case in given.case or sorted(GOALS):
        for one in measure(case, given.questions, given.sample, given.repeats):
            said = f"{case} {one['metric']}: {one['value']:.4g} {one['unit']}"
            print(json.dumps(one) if given.json else said, flush=True)


if __name__ == "__main__":
    main()
