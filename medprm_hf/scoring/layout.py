"""How question, evidence, image and steps become tokens, and where the step ends are.

    chat    (VisualPRM, arXiv 2503.10291, section 4.1) image, question and first step in the first user turn, then
            one step a turn; the assistant answers + or - (advantage labels: + = -). The logits *before* each
            answer decide.
    marker  (Med-PRM, arXiv 2506.11474) "Step 1: … ки Step 2: … ки"; the logits *at* each marker decide, over + and -.

    layout = Layout.open(processor, settings)
    laid = layout.lay(Case.of_row(row))
    laid.positions          ->  [61, 77]            logits[0, 61] decide on step 1, logits[0, 77] on step 2
    laid.input_ids[:laid.shared]                    the same for all solutions of the question

A batch, (B, T), comes from `layout.collate([laid, …])`. Which rows of the logits: `layout.plus_id`,
`layout.minus_id`, and `layout.equal_id` (None without advantage labels).
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from medprm_hf.errors import ConfigError, DataError
from medprm_hf.imaging.load import load_image
from medprm_hf.scoring.pieces import Glue, Pieces, chat_glue
from medprm_hf.scoring.settings import LayoutSettings
from medprm_hf.text.prompts import question_text

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One solution to be judged."""

    question: str
    """Question with its options, as it is shown."""
    steps: tuple[str, ...]
    image: bytes | None = None
    """Encoded image, or null."""
    evidence: tuple[str, ...] = ()
    """Texts of the passages."""
    references: tuple[bytes, ...] = ()
    """Encoded images of similar cases, for two towers."""

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> Case:
        """From a row of the canonical table; raises ImageError for an image that cannot be read."""
        shown = question_text(row["question"], row.get("options") or [])
        if row.get("turns"):
            shown = "\n".join(f"{turn['role']}: {turn['text']}" for turn in row["turns"]) + f"\n{shown}"
        if row.get("clinical_context"):
            shown = f"Clinical context: {row['clinical_context']}\n{shown}"
        image = None if row.get("image") is None else load_image(row["image"]).data
        passages = tuple(passage["text"] for passage in row.get("evidence") or ())
        return cls(shown, tuple(row["steps"]), image, passages)


@dataclass(frozen=True)
class Prefix:
    """Everything before the first step: the same for all solutions of a question."""

    ids: list[int]
    extras: dict[str, list[int]] = field(default_factory=dict)
    """Inputs beside input_ids with one number a token (mm_token_type_ids, token_type_ids)."""
    image_inputs: dict[str, Tensor] = field(default_factory=dict)
    """What the processor made of the image (pixel_values, image_grid_thw, …); empty without one."""
    evidence_cut: int = 0
    """Tokens of evidence that had no room."""


@dataclass(frozen=True)
class Steps:
    """The steps of one solution behind a prefix."""

    ids: list[int]
    """Tokens after the prefix."""
    ends: list[int]
    """Index in `ids` of the token whose logits decide on each step that is kept, (kept,)."""
    replies: list[int]
    """Chat form: index in `ids` of the reply to each step but the last kept one; else empty."""
    lost: int
    """Steps at the end that had no room."""


@dataclass(frozen=True)
class Laid:
    """One solution as tokens."""

    input_ids: list[int]
    """(T,)"""
    positions: list[int]
    """Index of the token whose logits decide on each kept step, (kept,): steps 1 … kept."""
    replies: list[int]
    """Chat form: index of the reply to each kept step but the last, (kept - 1,)."""
    shared: int
    """Length of the prefix that all solutions of the question share."""
    lost: int
    """Steps lost to max_length: the last ones."""
    extras: dict[str, list[int]]
    """As in Prefix, filled up to (T,)."""
    image_inputs: dict[str, Tensor]
    evidence_cut: int


class Layout:
    """Lays solutions out for one processor and one setting; make it with `open`."""

    def __init__(self, processor: Any, settings: LayoutSettings) -> None:
        self.processor = processor
        self.settings = settings
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.sees = hasattr(processor, "image_processor") and settings.image
        """Whether an image is shown to the model."""
        self.pieces = Pieces(self.tokenizer)
        self.marker_id = self._marker() if settings.form == "marker" else None
        glue = self._glue(False)
        self._blank = settings.form == "chat" and glue.open.endswith(" ")
        self.plus_id, self.minus_id, self.equal_id = self._label_ids()
        self._open = self.pieces.glue(glue.open.removesuffix(" ") if self._blank else glue.open)
        self._between = self.pieces.glue(glue.between)
        pad = self.tokenizer.pad_token_id
        self.pad_id: int = pad if pad is not None else self.tokenizer.eos_token_id or 0

    @classmethod
    def open(cls, processor: Any, settings: LayoutSettings | None = None, *, add_marker: bool = False) -> Layout:
        """Checks tokens and template; ConfigError by name where they cannot work.

        `add_marker` (training) gives a tokenizer that lacks the marker one more special token: resize the model's
        embeddings to `len(tokenizer)` then.
        """
        settings = settings or LayoutSettings()
        tokenizer = getattr(processor, "tokenizer", processor)
        if add_marker and settings.form == "marker" and Pieces(tokenizer).single(settings.marker) is None:
            tokenizer.add_special_tokens({"additional_special_tokens": [settings.marker]}, False)
        return cls(processor, settings)

    @property
    def label_ids(self) -> tuple[int, ...]:
        """Tokens of +, - and, with advantage labels, =."""
        ids = (self.plus_id, self.minus_id)
        return ids if self.equal_id is None else (*ids, self.equal_id)

    # --- laying out --------------------------------------------------------------------------------------------

    def lay(self, case: Case) -> Laid:
        """One solution; DataError where it has no step, or max_length has no room for the first one."""
        return self.join(self.prefix(case), case.steps)

    def join(self, prefix: Prefix, steps: Sequence[str]) -> Laid:
        """A solution behind a prefix that several solutions share."""
        own = self.steps(steps, len(prefix.ids))
        start = len(prefix.ids)
        return Laid(
            [*prefix.ids, *own.ids],
            [start + end for end in own.ends],
            [start + reply for reply in own.replies],
            start,
            own.lost,
            {name: [*values, *([0] * len(own.ids))] for name, values in prefix.extras.items()},
            prefix.image_inputs,
            prefix.evidence_cut,
        )

    def prefix(self, case: Case) -> Prefix:
        """System turn, image, evidence and question."""
        head, extras, image_inputs = self._head(case.image if self.sees else None)
        question_head, process_head = self.settings.heads()
        evidence, cut = self._evidence(case.evidence)
        asked = f"{question_head}{case.question.strip()}{process_head.removesuffix(' ')}"
        body = evidence + self.pieces.text(asked)
        if self.settings.form == "marker" and self.settings.solution_by == "assistant":
            body += self._open
        filled = {name: [*values, *([0] * len(body))] for name, values in extras.items()}
        return Prefix([*head, *body], filled, image_inputs, cut)

    def steps(self, steps: Sequence[str], before: int = 0) -> Steps:
        """The steps behind `before` tokens, as many as max_length has room for."""
        if not steps:
            raise DataError("a solution without steps has nothing to score: leave it out")
        shown = steps if self.settings.unit == "step" else ["\n\n".join(steps)]
        ids: list[int] = []
        ends: list[int] = []
        replies: list[int] = []
        for number, text in enumerate(shown, start=1):
            lead = [] if number == 1 else self._lead()
            piece = [*lead, *self._step(number, text)]
            if self.settings.max_length is not None and before + len(ids) + len(piece) > self.settings.max_length:
                break
            if lead and self.settings.form == "chat":
                replies.append(len(ids))
            ids += piece
            ends.append(len(ids) - 1)
        if not ends:
            raise DataError(
                f"max_length={self.settings.max_length} has no room for the first step: {before} tokens before it "
                f"and {len(piece)} of its own; raise max_length, or show less evidence"
            )
        return Steps(ids, ends, replies, len(shown) - len(ends))

    def _lead(self) -> list[int]:
        """What stands between two steps; in the chat form the reply (`+`) and the next user turn's opening."""
        if self.settings.form == "marker":
            return []
        return [self.plus_id, *self._between]

    def _step(self, number: int, text: str) -> list[int]:
        """Ids of a step up to the token that decides on it."""
        text = text.strip()
        named = f"Step {number}: {text}" if self.settings.is_numbered() else text
        # A blank goes with the word behind it, as tokenizers have learnt it.
        blank = " " if number == 1 and self.settings.heads()[1].endswith(" ") else ""
        if self.settings.form == "chat":
            return [*self.pieces.text(f"{blank}{named}"), *self._open]
        flat = " ".join(named.splitlines())
        assert self.marker_id is not None
        return [*self.pieces.text(f"{blank if number == 1 else ' '}{flat}"), self.marker_id]

    def _head(self, image: bytes | None) -> tuple[list[int], dict[str, list[int]], dict[str, Tensor]]:
        glue = self._glue(image is not None)
        if image is None:
            return self.pieces.glue(glue.head), {}, {}
        from PIL import Image

        picture = Image.open(io.BytesIO(image)).convert("RGB")
        made = dict(self.processor(text=[glue.head], images=[picture], return_tensors="pt", add_special_tokens=False))
        ids: list[int] = made.pop("input_ids")[0].tolist()
        made.pop("attention_mask", None)
        aside = {name: value for name, value in made.items() if name.endswith("token_type_ids")}
        seen = {name: value for name, value in made.items() if name not in aside}
        return ids, {name: value[0].tolist() for name, value in aside.items()}, seen

    def _evidence(self, passages: Sequence[str]) -> tuple[list[int], int]:
        """Passages up to their token budget, and how many tokens had no room."""
        if not passages or not self.settings.evidence:
            return [], 0
        text = "".join(f"Document {number}: {passage}\n\n" for number, passage in enumerate(passages, start=1))
        ids = self.pieces.text(text)
        limit = self.settings.max_length
        room = len(ids) if limit is None else max(0, limit - self.settings.reserve)
        return ids[:room], max(0, len(ids) - room)

    # --- batches -----------------------------------------------------------------------------------------------

    def collate(self, laid: Sequence[Laid]) -> dict[str, Tensor]:
        """input_ids, attention_mask and whatever the model takes beside them, padded on the right, (B, T)."""
        import torch

        length = max(len(one.input_ids) for one in laid)

        def padded(rows: list[list[int]], fill: int) -> Tensor:
            return torch.tensor([[*row, *([fill] * (length - len(row)))] for row in rows])

        batch = {
            "input_ids": padded([one.input_ids for one in laid], self.pad_id),
            "attention_mask": padded([[1] * len(one.input_ids) for one in laid], 0),
        }
        for name in dict.fromkeys(name for one in laid for name in one.extras):
            batch[name] = padded([one.extras.get(name, [0] * len(one.input_ids)) for one in laid], 0)
        return batch | stacked_images([one.image_inputs for one in laid])

    # --- tokens ------------------------------------------------------------------------------------------------

    def _glue(self, image: bool) -> Glue:
        return chat_glue(self.processor, self.settings.system_text(), image, self.settings.template == "plain")

    def _marker(self) -> int:
        marker = self.settings.marker
        token = self.pieces.single(marker)
        if token is None:
            count = len(self.pieces.glue(marker))
            raise ConfigError(
                f"the tokenizer splits the marker {marker!r} into {count} tokens: train with `medprm train`, which "
                "adds it as a special token, or set marker: to one that is a single token"
            )
        return token

    def _label_ids(self) -> tuple[int, int, int | None]:
        """One token each, all with or all without a blank before them."""
        names = [name for name in (self.settings.plus, self.settings.minus, self.settings.equal) if name]
        blank_first = self.settings.form == "marker" or self._blank
        for form in (" {}", "{}") if blank_first else ("{}",):
            ids = [self.pieces.single(form.format(name)) for name in names]
            if None not in ids and len(set(ids)) == len(ids):
                if self._blank and form == "{}":
                    self._blank = False
                known = [token for token in ids if token is not None]
                return known[0], known[1], known[2] if len(known) > 2 else None
        split = {name: len(self.pieces.glue(name)) for name in names}
        raise ConfigError(
            f"each of {', '.join(map(repr, names))} must be one token of its own, but the tokenizer makes {split} of "
            "them: set plus: and minus: to words that are single tokens"
        )


def stacked_images(made: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Image inputs of the rows that have any, one behind the other; of different sizes, filled up with zeros.

    (Zero tiles are what processors themselves fill up with: models drop or mask them.)
    """
    import torch

    found: dict[str, Tensor] = {}
    for name in dict.fromkeys(name for one in made for name in one):
        parts = [one[name] for one in made if name in one]
        sizes = [max(part.shape[axis] for part in parts) for axis in range(1, parts[0].ndim)]
        filled = []
        for part in parts:
            room = [n for axis in range(len(sizes), 0, -1) for n in (0, sizes[axis - 1] - part.shape[axis])]
            filled.append(torch.nn.functional.pad(part, room) if any(room) else part)
        found[name] = torch.cat(filled)
    return found
