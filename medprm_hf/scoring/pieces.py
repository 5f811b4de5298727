"""Token ids piece by piece: chat glue, which may hold special tokens, and people's text, which must not.

A conversation is rendered once with placeholders in the place of every text. What stands between the placeholders
is glue; it is tokenised with its special tokens, texts without them, and the ids are put side by side. So a step
has the same ids wherever it stands, the prefix of a question is exactly the same for all its solutions, and a text
that says "<|im_end|>", "<image>" or the marker stays a text.

    glue of a chat template    "<|im_start|>user\\n" text "<|im_end|>\\n<|im_start|>assistant\\n" reply "<|im_end|>\\n"…
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import ConfigError

_TURNS = 3
_SLOT = re.compile(r"Slot(\d)([QR])x")


def _slot(number: int, kind: str) -> str:
    return f"Slot{number}{kind}x"


@dataclass(frozen=True)
class Glue:
    """What a chat template writes around the texts of a conversation that the user begins."""

    head: str
    """Before the first user text: system turn, opening, image placeholder."""
    open: str
    """Between a user text and the assistant's reply."""
    between: str
    """Between a reply and the next user text."""


def chat_glue(processor: Any, system: str, image: bool, plain: bool) -> Glue:
    """The glue of a processor's (or tokenizer's) chat template; `plain` is our own for checkpoints without one.

    Raises ConfigError where there is no template, or where it does not repeat the texts that it is given.
    """
    if plain:
        return _plain_glue(processor, system, image)
    if not getattr(processor, "chat_template", None):
        raise ConfigError(
            "the checkpoint has no chat template: take an instruction-tuned one, add the template to its tokenizer, "
            "or train with template: plain (our own: 'User: …', 'Assistant: …')"
        )
    parts = _SLOT.split(_rendered(processor, system, image))
    found = [kind + number for number, kind in zip(parts[1::3], parts[2::3], strict=True)]
    wanted = [f"{kind}{number}" for number in range(_TURNS) for kind in "QR"]
    if found != wanted:
        raise ConfigError(
            f"the chat template repeats {' '.join(found) or 'nothing'} of {' '.join(wanted)}: it must keep every turn "
            "in order; train with template: plain"
        )
    texts = parts[0::3]
    return Glue(texts[0], texts[1], texts[2])


def _rendered(processor: Any, system: str, image: bool) -> str:
    """The conversation of placeholders; templates without a system role get it in front of the first user text."""
    sees = hasattr(processor, "image_processor")
    turns: list[dict[str, str]] = []
    for number in range(_TURNS):
        turns += (
            {"role": "user", "content": _slot(number, "Q")},
            {"role": "assistant", "content": _slot(number, "R")},
        )
    folded = [{"role": "user", "content": f"{system}\n\n{turns[0]['content']}"}, *turns[1:]]
    tries = [[{"role": "system", "content": system}, *turns], folded] if system else [turns]
    refused: Exception | None = None
    for messages in tries:
        shown = [_message(message, sees, image) for message in messages]
        try:
            text: str = processor.apply_chat_template(shown, tokenize=False, add_generation_prompt=False)
        except Exception as error:  # jinja's own and the template's raise_exception
            refused = error
            continue
        if not system or system.strip() in text:
            return text
    raise ConfigError(f"the chat template takes no plain conversation ({refused}): train with template: plain")


def _message(message: dict[str, str], sees: bool, image: bool) -> dict[str, Any]:
    if not sees:
        return dict(message)
    content: list[dict[str, str]] = [{"type": "text", "text": message["content"]}]
    first = message["role"] == "user" and _slot(0, "Q") in message["content"]
    return {"role": message["role"], "content": [{"type": "image"}, *content] if image and first else content}


def _plain_glue(processor: Any, system: str, image: bool) -> Glue:
    tokenizer = getattr(processor, "tokenizer", processor)
    begin = tokenizer.bos_token or ""
    lead = f"{system}\n\n" if system else ""
    seen = f"{getattr(processor, 'image_token', '<image>')}\n" if image else ""
    return Glue(f"{begin}{lead}User: {seen}", "\nAssistant: ", "\nUser: ")


class Pieces:
    """Text to ids, one piece at a time."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        # Sentencepiece tokenizers put a blank before every text; behind a line break they do not.
        self._anchor: list[int] = []
        if self._plain("\nx") != self._plain("\n") + self._plain("x"):
            self._anchor = self._plain("\n")

    def text(self, text: str) -> list[int]:
        """Ids of people's text; the names of special tokens in it are letters like any others."""
        return self._anchored(text, split_special_tokens=True)

    def glue(self, text: str) -> list[int]:
        """Ids of text that may hold special tokens."""
        return self._anchored(text)

    def single(self, text: str) -> int | None:
        """The one token that this text is, or None where it is several or unknown."""
        ids = self._anchored(text)
        known = len(ids) == 1 and ids[0] != self.tokenizer.unk_token_id
        return ids[0] if known else None

    def _anchored(self, text: str, **options: Any) -> list[int]:
        if not text:
            return []
        if not self._anchor:
            return self._plain(text, **options)
        ids = self._plain(f"\n{text}", **options)
        if ids[: len(self._anchor)] == self._anchor:
            return ids[len(self._anchor) :]
        return self._plain(text, **options)

    def _plain(self, text: str, **options: Any) -> list[int]:
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, **options)["input_ids"]
        return ids
