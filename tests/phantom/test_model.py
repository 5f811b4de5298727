"""The architecture, its processor and its tokens, on an untrained model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="pip install 'medprm-hf[train]'")
pytest.importorskip("transformers", reason="pip install 'medprm-hf[train]'")

import torch
from PIL import Image

from medprm_hf.errors import ConfigError
from medprm_hf.phantom import steps as text
from medprm_hf.phantom.chains import sampled_solution, true_solution
from medprm_hf.phantom.forward import FixedForward, normalised, to_patches
from medprm_hf.phantom.model import build, build_processor, checkpoint, load, save
from medprm_hf.phantom.render import render
from medprm_hf.phantom.world import OPTIONS, question_ids, scene_of
from medprm_hf.text.prompts import question_text

SCENES = [scene_of(question_id) for question_id in question_ids("development", 60)]
USER = {
    "role": "user",
    "content": [{"type": "image"}, {"type": "text", "text": question_text(text.QUESTION, OPTIONS)}],
}


@pytest.fixture(scope="module")
def processor():  # type: ignore[no-untyped-def]
    return build_processor()


def tokens(processor, solution: str) -> list[int]:  # type: ignore[no-untyped-def]
    ids: list[int] = processor.tokenizer(solution)["input_ids"]
    return ids


def test_the_tokens_of_every_prefix_begin_the_solution(processor) -> None:  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    for scene in SCENES:
        steps = sampled_solution(scene, rng)
        whole = tokens(processor, text.join(steps))
        for end in range(1, len(steps) + 1):
            prefix = tokens(processor, text.join(steps[:end]))
            assert prefix == whole[: len(prefix)]


def test_a_blank_line_is_one_token(processor) -> None:  # type: ignore[no-untyped-def]
    assert len(tokens(processor, "\n\n")) == 1
    assert len(tokens(processor, "Nodules: one.\n\n")) == len(tokens(processor, "Nodules: one.")) + 1


def test_unseen_text_survives(processor) -> None:  # type: ignore[no-untyped-def]
    strange = "Größe 7,2 mm – señal\n\n\nまた  \t next"
    assert processor.tokenizer.decode(tokens(processor, strange)) == strange


def test_a_continued_prefix_is_the_prompt_and_the_prefix(processor) -> None:  # type: ignore[no-untyped-def]
    prefix = text.join(true_solution(SCENES[0])[:2])
    opened = processor.apply_chat_template([USER], add_generation_prompt=True, tokenize=False)
    for content in (prefix, [{"type": "text", "text": prefix}]):
        continued = processor.apply_chat_template(
            [USER, {"role": "assistant", "content": content}], continue_final_message=True, tokenize=False
        )
        assert continued == opened + prefix


def test_the_template_takes_a_system_message(processor) -> None:  # type: ignore[no-untyped-def]
    shown = processor.apply_chat_template(
        [{"role": "system", "content": "Be brief."}, USER], add_generation_prompt=True, tokenize=False
    )
    assert shown.startswith("<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n<|vision_start|>")
    assert shown.endswith("<|im_end|>\n<|im_start|>assistant\n")


def test_the_training_forward_gives_the_logits_of_transformers() -> None:
    model, processor = build(seed=3)
    ids = [tokens(processor, text.join(true_solution(scene))) for scene in SCENES[:3]]
    longest = max(map(len, ids))
    padded = torch.tensor([each + [0] * (longest - len(each)) for each in ids])
    images = torch.tensor(np.stack([render(scene) for scene in SCENES[:3]])) / 255
    shown = processor.apply_chat_template([USER], add_generation_prompt=True, tokenize=False)
    with torch.no_grad():
        ours = FixedForward(model, processor, longest)(to_patches(normalised(images, processor)), padded)
        for row, scene in enumerate(SCENES[:3]):
            solution = text.join(true_solution(scene))
            image = Image.fromarray(render(scene))
            inputs = processor(text=[shown + solution], images=[image], return_tensors="pt")
            count = len(ids[row])
            theirs = model(**inputs).logits[0, -count - 1 : -1]
            assert torch.allclose(ours[row, :count], theirs, atol=1e-4)


def test_other_image_sizes_become_about_as_many_tokens(processor) -> None:  # type: ignore[no-untyped-def]
    for size in ((28, 28), (300, 200), (2000, 150)):
        inputs = processor.image_processor(images=[Image.new("L", size).convert("RGB")], return_tensors="pt")
        assert 4 <= int(inputs["image_grid_thw"].prod()) // 4 <= 20


def test_a_saved_model_comes_back(tmp_path: Path) -> None:
    model, processor = build(seed=1)
    back, _ = load(save(model, processor, tmp_path / "saved"))
    assert back.config.text_config.tie_word_embeddings or back.config.tie_word_embeddings
    for name, weight in model.state_dict().items():
        assert torch.allclose(weight, back.state_dict()[name], atol=1e-2), name


def test_an_unknown_checkpoint_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is base, policy"):
        checkpoint("large")  # type: ignore[arg-type]
