"""Does a request fit? Known before it is paid for: images over the provider's size, prompts over the context.

An image that is too large is made smaller, and the reply's notes say so; one that cannot be is refused with both
numbers. A prompt is refused where its length leaves no doubt: at LETTERS_PER_TOKEN letters a token (English has some
4.5, other languages fewer), its images not counted. Closer calls are the server's, which refuses without taking money.
"""

from __future__ import annotations

import io
import sys
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from medprm_hf.backends.protocol import Message, Request
from medprm_hf.backends.servers.http_errors import Refusal
from medprm_hf.ids import bytes_hash

LETTERS_PER_TOKEN = 5.0
SHRUNK_KEPT = 16
"""Images made smaller that are kept for the next request of the same question."""


@dataclass(frozen=True)
class ProviderLimits:
    """What a provider takes.

    The numbers below are from the providers' public documentation as remembered when this was written, not looked up
    since: a provider may have changed them. `context=` and `max_image_bytes=` in a spec go before them.
    """

    image_bytes: int
    """Of one image, before base64."""
    images: int
    """Per request."""
    contexts: Mapping[str, int]
    """Tokens of prompt and answer, by the beginning of the model's name; the longest that fits counts."""


OPENAI_LIMITS = ProviderLimits(
    image_bytes=20_000_000,
    images=500,
    contexts={"gpt-4o": 128_000, "gpt-4.1": 1_047_576, "gpt-5": 400_000, "o1": 200_000, "o3": 200_000, "o4": 200_000},
)
GEMINI_LIMITS = ProviderLimits(
    image_bytes=14_000_000,  # a request with inline data may have 20 MB, base64 included
    images=3_600,
    contexts={"gemini-2": 1_048_576},
)


class Fitter:
    """Makes the requests of one model fit."""

    def __init__(self, model: str, limits: ProviderLimits | None, max_image_bytes: int = 0) -> None:
        """`max_image_bytes` goes before the table's; 0: as the table says."""
        if max_image_bytes > 0:
            known = limits or ProviderLimits(max_image_bytes, sys.maxsize, {})
            limits = replace(known, image_bytes=max_image_bytes)
        self._limits = limits
        names = [name for name in (limits.contexts if limits else ()) if model.startswith(name)]
        self._context = limits.contexts[max(names, key=len)] if limits and names else None
        self._shrunk: OrderedDict[str, tuple[bytes, str]] = OrderedDict()

    def fit(self, request: Request, context: int | None = None) -> tuple[Request, tuple[str, ...]]:
        """The request as it can be sent, and notes of what was changed; Refusal where it cannot be."""
        self._check_context(request, context or self._context)
        limits = self._limits
        if limits is None or not any(message.images for message in request.messages):
            return request, ()
        count = sum(len(message.images) for message in request.messages)
        if count > limits.images:
            raise Refusal("image", f"{count} images in one request; the provider takes {limits.images}: send fewer")
        if all(len(image) <= limits.image_bytes for message in request.messages for image in message.images):
            return request, ()
        notes: list[str] = []
        messages = tuple(self._smaller(message, limits.image_bytes, notes) for message in request.messages)
        return replace(request, messages=messages), tuple(notes)

    def _check_context(self, request: Request, context: int | None) -> None:
        if context is None:
            return
        letters = len(request.prefix) + sum(len(message.text) for message in request.messages)
        tokens = int(letters / LETTERS_PER_TOKEN)
        if tokens >= context:
            raise Refusal(
                "context",
                f"the prompt has about {tokens} tokens ({letters} letters at {LETTERS_PER_TOKEN:g} a token), the "
                f"model's context {context}: shorten it (nothing was sent)",
            )

    def _smaller(self, message: Message, limit: int, notes: list[str]) -> Message:
        if all(len(image) <= limit for image in message.images):
            return message
        images = []
        for image in message.images:
            if len(image) > limit:
                image, note = self._once(image, limit)
                notes.append(note)
            images.append(image)
        return replace(message, images=tuple(images))

    def _once(self, image: bytes, limit: int) -> tuple[bytes, str]:
        name = bytes_hash(image)
        if name not in self._shrunk:
            self._shrunk[name] = shrink(image, limit)
            if len(self._shrunk) > SHRUNK_KEPT:
                self._shrunk.popitem(last=False)
        return self._shrunk[name]


def shrink(image: bytes, limit: int) -> tuple[bytes, str]:
    """The image in at most `limit` bytes, sides scaled alike, and a note with both sizes; Refusal if it is not one."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(image)) as opened:
            whole = opened.convert("RGB" if opened.mode not in ("L", "RGB") else opened.mode)
    except Exception as error:  # Pillow's decoders raise nearly everything on broken files
        raise Refusal(
            "image", f"an image of {len(image)} bytes, over the provider's {limit}, cannot be made smaller: {error}"
        ) from error
    share = min(0.9, (limit / len(image)) ** 0.5)
    while True:
        size = max(1, int(whole.width * share)), max(1, int(whole.height * share))
        found = _png(whole.resize(size, Image.Resampling.LANCZOS))
        if len(found) <= limit:
            note = f"image of {len(image)} bytes ({whole.width}x{whole.height}) sent as {size[0]}x{size[1]}"
            return found, f"{note}: the provider takes {limit} bytes"
        if size == (1, 1):
            raise Refusal("image", f"an image of {len(image)} bytes cannot be made to fit the provider's {limit}")
        share *= 0.8


def _png(image: object) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")  # type: ignore[attr-defined]
    return out.getvalue()
