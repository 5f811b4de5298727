"""What a chat-completions server can do, found out by asking it a few tokens' worth; for `medprm doctor`.

    abilities = open_backend("openai:tiny?base_url=http://127.0.0.1:8000/v1").probe()
    abilities.n, abilities.images, abilities.continuation, abilities.learnt

Each ability is tried by itself. A server that leaves a field aside without a word lacks it as much as one that refuses
it, so the answer is looked at: two answers came, log-probabilities are there, the schema was kept. Whether a server
continues a message is told by nonsense: one that knows the field refuses a value that is neither true nor false.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from medprm_hf.backends.servers.abilities import Abilities
from medprm_hf.backends.servers.http_errors import Refusal

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]
"""Sends a body and gives the response; raises Refusal where the server does not take it."""

_YES = {"type": "object", "properties": {"ok": {"enum": ["yes"]}}, "required": ["ok"], "additionalProperties": False}
_SIDE = 64
"""Pixels; vision models refuse images smaller than their patches."""


async def probe(ask: Ask, model: str, abilities: Abilities) -> Abilities:
    """Tries what is not known yet, and writes it into `abilities`. Any error but a refusal is raised."""
    base = await _plain(ask, model, abilities)
    if abilities.n is None:
        found = await _try(ask, base | {"n": 2})
        _settle(abilities, "n", found is not None and len(found.get("choices") or []) == 2)
    if abilities.logprobs is None:
        found = await _try(ask, base | {"logprobs": True, "top_logprobs": 2})
        _settle(abilities, "logprobs", bool(found and (_choice(found).get("logprobs") or {}).get("content")))
    if abilities.schema is None:
        wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": _YES, "strict": True}}
        longer = {abilities.tokens_field: 24, "response_format": wanted}
        found = await _try(ask, base | longer)
        _settle(abilities, "schema", found is not None and _keeps_schema(found))
    if abilities.images is None:
        abilities.images = await _try(ask, base | {"messages": [_with_image()]}) is not None
    if abilities.continuation is None:
        _settle(abilities, "continuation", await _continues(ask, base))
    return abilities


async def _plain(ask: Ask, model: str, abilities: Abilities) -> dict[str, Any]:
    """A body that the server takes, its seed and token fields as it wants them; Refusal where it takes none."""
    while True:
        body: dict[str, Any] = {
            "model": model,
            "messages": [{"role": "user", "content": "Say yes."}],
            abilities.tokens_field: 16,
        }
        if abilities.seed is not False:
            body["seed"] = 1
        try:
            await ask(body)
        except Refusal as error:
            if not abilities.learn(error.message, body):
                raise
        else:
            abilities.seed = abilities.seed is not False
            return body


async def _continues(ask: Ask, base: dict[str, Any]) -> bool:
    begun = {"messages": [*base["messages"], {"role": "assistant", "content": "Y"}], "add_generation_prompt": False}
    if await _try(ask, base | begun | {"continue_final_message": True}) is None:
        return False
    return await _try(ask, base | begun | {"continue_final_message": "nonsense"}) is None


async def _try(ask: Ask, body: dict[str, Any]) -> dict[str, Any] | None:
    try:
        return await ask(body)
    except Refusal:
        return None


def _settle(abilities: Abilities, name: str, able: bool) -> None:
    if able:
        setattr(abilities, name, True)
    else:
        abilities.lacks(name)


def _choice(found: Mapping[str, Any]) -> Mapping[str, Any]:
    first: Mapping[str, Any] = (found.get("choices") or [{}])[0]
    return first


def _keeps_schema(found: Mapping[str, Any]) -> bool:
    try:
        return bool(json.loads(_choice(found)["message"]["content"]) == {"ok": "yes"})
    except (KeyError, TypeError, ValueError):
        return False


def _with_image() -> dict[str, Any]:
    """A message with a small grey picture."""
    import io

    from PIL import Image

    out = io.BytesIO()
    Image.new("RGB", (_SIDE, _SIDE), "gray").save(out, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
    return {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "Say yes."}],
    }
