"""Layout: the positions decode to the step ends, prefixes are shared, tokens are told apart or refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.phantom.model import build_processor
from medprm_hf.phantom.questions import question_row
from medprm_hf.scoring.layout import Case, Layout
from medprm_hf.scoring.settings import LayoutSettings, PRMSettings, load_settings, save_settings

STEPS = ("Nodules: one.", "Largest: right middle.", "Answer: B.")
TEMPLATE = (
    "{% for m in messages %}{{ '<s>' if loop.first }}{{ m.role | upper }}: {{ m.content | trim }} "
    "{% if m.role == 'assistant' %}</s>{% endif %}{% endfor %}"
)


@pytest.fixture(scope="module")
def processor() -> Any:
    return build_processor()


@pytest.fixture
def case() -> Case:
    return Case.of_row({**question_row("phantom-test-000003"), "steps": list(STEPS)})


def words(vocabulary: Sequence[str], template: str | None = TEMPLATE) -> PreTrainedTokenizerFast:
    """A sentencepiece-like tokenizer: a blank before every text becomes part of its first word."""
    table = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *vocabulary])}
    inner = Tokenizer(models.WordLevel(table, unk_token="<unk>"))
    inner.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    inner.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = template
    return tokenizer


def test_chat_positions_decode_to_the_step_ends(processor: Any, case: Case) -> None:
    layout = Layout.open(processor, LayoutSettings(system=""))
    laid = layout.lay(case)
    opening = "<|im_start|>assistant\n"
    for number, (step, end) in enumerate(zip(STEPS, laid.positions, strict=True), start=1):
        before = processor.tokenizer.decode(laid.input_ids[: end + 1])
        assert before.endswith(f"{step}<|im_end|>\n{opening}")
        assert before.count(opening) == number
    assert [laid.input_ids[place] for place in laid.replies] == [layout.plus_id] * 2
    assert [place - 1 for place in laid.replies] == laid.positions[:-1]
    assert processor.tokenizer.decode(laid.input_ids[laid.shared :]).startswith(STEPS[0])


def test_marker_positions_are_the_markers(case: Case) -> None:
    processor = build_processor()
    before = len(processor.tokenizer)
    layout = Layout.open(processor, LayoutSettings(form="marker"), add_marker=True)
    laid = layout.lay(case)
    assert len(processor.tokenizer) == before + 1
    assert [laid.input_ids[p] for p in laid.positions] == [layout.marker_id] * 3
    assert laid.input_ids.count(layout.marker_id) == 3
    text = processor.tokenizer.decode(laid.input_ids[laid.shared :])
    assert text == " Step 1: Nodules: one. ки Step 2: Largest: right middle. ки Step 3: Answer: B. ки"


def test_marker_that_is_split_is_refused_by_name(processor: Any) -> None:
    with pytest.raises(ConfigError, match="splits the marker ' ки' into 5 tokens"):
        Layout.open(processor, LayoutSettings(form="marker"))


def test_special_tokens_in_texts_stay_letters(processor: Any) -> None:
    layout = Layout.open(processor, LayoutSettings(system=""))
    laid = layout.lay(Case("<|image_pad|> <|im_end|>?", ("<|im_end|>\n<|im_start|>assistant\n", "<|image_pad|>")))
    ids = processor.tokenizer.convert_tokens_to_ids(["<|image_pad|>", "<|im_end|>"])
    assert laid.input_ids.count(ids[0]) == 0
    assert laid.input_ids.count(ids[1]) == 2 + 1  # two user turns, one reply


def test_solutions_of_a_question_share_their_prefix(processor: Any, case: Case) -> None:
    layout = Layout.open(processor, LayoutSettings(system="Check."))
    prefix = layout.prefix(case)
    one, other = layout.join(prefix, STEPS), layout.join(prefix, ("Nodules: two.",))
    assert one.shared == other.shared == len(prefix.ids)
    assert one.input_ids[: one.shared] == other.input_ids[: other.shared] == prefix.ids
    assert layout.lay(case).input_ids == one.input_ids
    assert sum(one.extras["mm_token_type_ids"]) == 16
    assert len(one.extras["mm_token_type_ids"]) == len(one.input_ids)


def test_batch_is_padded_on_the_right(processor: Any, case: Case) -> None:
    layout = Layout.open(processor, LayoutSettings(system=""))
    laid = [layout.lay(case), layout.lay(Case(case.question, STEPS[:1]))]
    batch = layout.collate(laid)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == batch["mm_token_type_ids"].shape
    assert batch["attention_mask"].sum(1).tolist() == [len(one.input_ids) for one in laid]
    assert batch["image_grid_thw"].shape == (1, 3)  # the second has no image


@pytest.mark.parametrize("room, kept", [(0, 3), (-1, 2), (-100, None)])
def test_what_max_length_has_no_room_for_is_lost_and_counted(
    processor: Any, case: Case, room: int, kept: int | None
) -> None:
    whole = Layout.open(processor, LayoutSettings(system="")).lay(case)
    layout = Layout.open(processor, LayoutSettings(system="", max_length=len(whole.input_ids) + room))
    if kept is None:
        with pytest.raises(DataError, match="no room for the first step"):
            layout.lay(case)
        return
    laid = layout.lay(case)
    assert (len(laid.positions), laid.lost) == (kept, 3 - kept)
    assert laid.positions == whole.positions[:kept]


def test_evidence_is_cut_to_its_budget(processor: Any, case: Case) -> None:
    shown = Case(case.question, case.steps, None, ("size " * 100, "type " * 100))
    laid = Layout.open(processor, LayoutSettings(system="", max_length=400, reserve=300)).lay(shown)
    free = Layout.open(processor, LayoutSettings(system="")).lay(shown)
    assert laid.evidence_cut > 0 and free.evidence_cut == 0
    assert len(free.input_ids) - len(laid.input_ids) == laid.evidence_cut
    assert laid.lost == 0


def test_outcome_is_one_label_for_the_whole_solution(processor: Any, case: Case) -> None:
    laid = Layout.open(processor, LayoutSettings(system="", unit="solution")).lay(case)
    assert len(laid.positions) == 1 and laid.lost == 0


def test_tokenizer_that_merges_plus_with_a_blank() -> None:
    tokenizer = words(["▁+", "▁-", "▁ASSISTANT:", "▁USER:", "▁a", "▁b", "a", "b"])
    layout = Layout.open(tokenizer, LayoutSettings(system="", question_head="", process_head=" "))
    assert tokenizer.convert_ids_to_tokens(list(layout.label_ids)) == ["▁+", "▁-"]
    laid = layout.lay(Case("a", ("b", "a")))
    tokens = tokenizer.convert_ids_to_tokens(laid.input_ids)
    assert [tokens[p] for p in laid.positions] == ["▁ASSISTANT:"] * 2
    assert tokens[laid.replies[0]] == "▁+"


def test_label_tokens_that_are_split_are_refused_by_name() -> None:
    tokenizer = words(["▁a", "▁ASSISTANT:"])
    with pytest.raises(ConfigError, match=r"'\+', '-' must be one token.*set plus: and minus:"):
        Layout.open(tokenizer, LayoutSettings(system=""))


def test_no_chat_template_is_refused_with_the_way_out() -> None:
    tokenizer = words(["+", "-", "▁+", "▁-", "a"], template=None)
    with pytest.raises(ConfigError, match="no chat template.*template: plain"):
        Layout.open(tokenizer, LayoutSettings(system=""))
    laid = Layout.open(tokenizer, LayoutSettings(system="", template="plain")).lay(Case("a", ("a", "a")))
    assert len(laid.positions) == 2


def test_template_without_system_role_gets_it_in_front(processor: Any) -> None:
    kind = build_processor()
    kind.chat_template = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}" + str(
        processor.chat_template
    )
    kind.tokenizer.chat_template = kind.chat_template
    laid = Layout.open(kind, LayoutSettings(system="Check.")).lay(Case("Q?", STEPS))
    assert kind.tokenizer.decode(laid.input_ids).startswith("<|im_start|>user\nCheck.\n\n### Question:\nQ?")


def test_settings_come_back_from_the_checkpoint(tmp_path: Any) -> None:
    settings = PRMSettings(LayoutSettings(form="marker", max_length=512), temperature=1.3, trained_on={"rows": 3})
    save_settings(tmp_path, settings)
    assert load_settings(tmp_path) == settings
    with pytest.raises(ConfigError, match="medprm.json"):
        load_settings(tmp_path / "none")
