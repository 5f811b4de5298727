"""From chat messages to what a transformers model reads: one text, images, token ids; and back to text.

The text is the chat template with its generation prompt and then the prefix, tokenised as one: so does
a vLLM server with `continue_final_message`, and both see the same tokens.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medprm_hf.backends.protocol import Message
from medprm_hf.errors import ConfigError, ImageError

if TYPE_CHECKING:
    from PIL.Image import Image


class Chat:
    """A checkpoint's processor (or only its tokenizer) and the texts it has rendered."""

    def __init__(self, processor: Any) -> None:
        self.processor = processor
        self.tokenizer = getattr(processor, "tokenizer", processor)
        self.sees = hasattr(processor, "image_processor")
        """Whether it takes images."""
        self._rendered: dict[tuple[tuple[str, str, int], ...], str] = {}

    def text(self, messages: Sequence[Message]) -> str:
        """The conversation up to where the assistant's answer begins."""
        shape = tuple((message.role, message.text, len(message.images)) for message in messages)
        if shape not in self._rendered:
            self._rendered[shape] = self._render(messages)
        return self._rendered[shape]

    def ids(self, text: str) -> list[int]:
        """Token ids; the template has already written what special tokens there are."""
        found: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return found

    def decode(self, ids: Sequence[int], before: Sequence[int] = ()) -> str:
        """Text of `ids`; some tokenizers need the tokens `before` them to place blanks."""
        if not before:
            return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))
        context = list(before)[-4:]
        head: str = self.tokenizer.decode(context, skip_special_tokens=True)
        whole: str = self.tokenizer.decode([*context, *ids], skip_special_tokens=True)
        if whole.startswith(head):
            return whole[len(head) :]
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True))

    def _render(self, messages: Sequence[Message]) -> str:
        if not getattr(self.processor, "chat_template", None):
            raise ConfigError("the checkpoint has no chat template: take an instruction-tuned one, or add the template")
        turns = [{"role": message.role, "content": self._content(message)} for message in messages]
        shown: str = self.processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
        return shown

    def _content(self, message: Message) -> Any:
        if not self.sees:
            return message.text
        return [*({"type": "image"} for _ in message.images), {"type": "text", "text": message.text}]


def open_image(data: bytes) -> Image:
    """Decoded image in RGB; ImageError when the bytes are no image."""
    from PIL import Image, UnidentifiedImageError

    try:
        return Image.open(io.BytesIO(data)).convert("RGB")
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{len(data)} bytes are no image that can be decoded: {error}") from error
