"""Requests and answers of Gemini's generateContent, as plain values for Google's SDK; the SDK itself is in gemini.py.

    contents, system = contents_of(request)
    settings = config_of(request, places=[0, 1], system=system, abilities=…, …)
    answers = read_candidates(response, request, asked=2)

Images are bytes parts of the turn they belong to. A prefix is continued by asking for it in the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from medprm_hf.backends.inside.orders import cut
from medprm_hf.backends.protocol import Completion, Failure, Message, Request
from medprm_hf.backends.servers.abilities import Abilities
from medprm_hf.backends.servers.data_urls import mime
from medprm_hf.backends.servers.openai_wire import Used, continued, shares

STOPS = 5
"""Stop sequences that a request may carry; an answer is cut at the others here."""
BLOCKED = frozenset(
    ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "LANGUAGE", "IMAGE_SAFETY", "MODEL_ARMOR")
)
"""Finish reasons of answers that were held back for what they say."""
_ENDS = {"STOP": "stop", "MAX_TOKENS": "length"}
_KEPT = frozenset(
    "anyOf description enum format items maxItems maxLength maximum minItems minLength minimum nullable pattern "
    "properties required title type".split()
)
"""Words of JSON schema that Gemini's own kind of schema has too."""


def contents_of(request: Request, with_system: bool = True) -> tuple[list[dict[str, Any]], str]:
    """Turns and system instruction; a model that takes no instruction finds it before its first turn."""
    messages = continued(request.messages, request.prefix) if request.prefix else request.messages
    system = "\n\n".join(message.text for message in messages if message.role == "system")
    turns = [message for message in messages if message.role != "system"]
    if system and not with_system and turns:
        first = turns[0]
        turns[0] = Message(first.role, f"{system}\n\n{first.text}", first.images)
        system = ""
    return [
        {"role": "model" if turn.role == "assistant" else "user", "parts": [*_images(turn), {"text": turn.text}]}
        for turn in turns
    ], system


def _images(turn: Message) -> list[dict[str, Any]]:
    return [{"inlineData": {"mimeType": mime(image), "data": image}} for image in turn.images]


def config_of(
    request: Request, places: Sequence[int], system: str, abilities: Abilities, logprobs: bool, json_schema: bool
) -> dict[str, Any]:
    """The settings that ask for the given places, as far as the model is able.

    Args:
        json_schema: whether the SDK passes JSON schemas on as they are; older ones only know Gemini's own kind.
    """
    sampling = request.sampling
    config: dict[str, Any] = {
        "temperature": sampling.temperature,
        "max_output_tokens": sampling.max_tokens,
        "automatic_function_calling": {"disable": True},
    }
    if system:
        config["system_instruction"] = system
    if abilities.seed is not False:
        config["seed"] = request.seed(places[0]) & 0x7FFFFFFF
    if sampling.temperature > 0:
        config["top_p"] = sampling.top_p
        if len(places) > 1 and abilities.n is not False:
            config["candidate_count"] = len(places)
    if sampling.stop:
        config["stop_sequences"] = list(sampling.stop[:STOPS])
    if (logprobs or request.logprobs) and abilities.logprobs is not False:
        config |= {"response_logprobs": True, "logprobs": request.logprobs or 1}
    if request.schema is not None and abilities.schema is not False:
        schema = request.schema if json_schema else own_schema(request.schema)
        if schema is not None:
            config |= {"response_mime_type": "application/json"}
            config |= {"response_json_schema" if json_schema else "response_schema": schema}
    return config


def own_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """A JSON schema in Gemini's own words (`additionalProperties` has none); None where it refers to others."""
    if "$ref" in schema:
        return None
    found: dict[str, Any] = {name: value for name, value in schema.items() if name in _KEPT}
    if "const" in schema:
        found["enum"] = [schema["const"]]
    if "enum" in found:  # Gemini lists texts alone
        found |= {"enum": [str(value) for value in found["enum"]], "type": "string"}
    kinds = found.get("type")
    if isinstance(kinds, list):
        named = [kind for kind in kinds if kind != "null"]
        found |= {"type": named[0], "nullable": len(named) < len(kinds)}
    inner: list[Any] = [found["items"]] if isinstance(found.get("items"), Mapping) else []
    inner += [*found.get("properties", {}).values(), *found.get("anyOf", ())]
    if any(own_schema(one) is None for one in inner):
        return None
    if isinstance(found.get("items"), Mapping):
        found["items"] = own_schema(found["items"])
    if "properties" in found:
        found["properties"] = {name: own_schema(one) for name, one in found["properties"].items()}
    if "anyOf" in found:
        found["any_of"] = [own_schema(one) for one in found.pop("anyOf")]
    return found


def read_candidates(response: Any, request: Request, asked: int) -> list[Completion | Failure]:
    """The answers of a response (attributes as in the SDK's types); empty where it gives none and no reason.

    A prompt that was blocked gives as many failures as answers were asked for.
    """
    candidates = sorted(response.candidates or (), key=lambda one: one.index or 0)
    if not candidates:
        feedback = response.prompt_feedback
        if feedback is None or not feedback.block_reason:
            return []
        why = feedback.block_reason_message or "no answer was begun"
        return [Failure("content_filter", f"the prompt was blocked ({_name(feedback.block_reason)}): {why}")] * asked
    texts = [_text(candidate) for candidate in candidates]
    tokens = shares(used(response).completion, [len(text) for text in texts])
    return [_read(*each, request) for each in zip(candidates, texts, tokens, strict=True)]


def used(response: Any) -> Used:
    """Tokens that were booked; what the model thought is paid as output."""
    said = response.usage_metadata
    if said is None:
        return Used(0, 0, 0)
    written = (said.candidates_token_count or 0) + (getattr(said, "thoughts_token_count", None) or 0)
    return Used(said.prompt_token_count or 0, said.cached_content_token_count or 0, written)


def _text(candidate: Any) -> str:
    parts = (candidate.content.parts if candidate.content else None) or ()
    return "".join(part.text for part in parts if part.text and not part.thought)


def _read(candidate: Any, text: str, tokens: int, request: Request) -> Completion | Failure:
    reason = _name(candidate.finish_reason)
    if reason in BLOCKED:
        why = getattr(candidate, "finish_message", None) or "the answer was held back"
        return Failure("content_filter", f"the answer was blocked ({reason}): {why}")
    if reason not in _ENDS:
        return Failure("finish_reason", f"the server ended the answer with finishReason={reason}")
    if not text:
        thought = "; all tokens went into thinking: raise max_tokens" if reason == "MAX_TOKENS" else ""
        return Failure("no_text", f"an empty candidate, finishReason={reason}{thought}")
    finish = _ENDS[reason]
    if request.prefix and text.startswith(request.prefix):
        text = text[len(request.prefix) :]  # a model that was asked to go on often begins again
    if len(request.sampling.stop) > STOPS and (shorter := cut(text, request.sampling.stop)) != text:
        text, finish = shorter, "stop"
    chosen, top = _logprobs(candidate)
    listed = top if request.logprobs else None
    return Completion(text, finish, len(chosen) if chosen is not None else tokens, chosen, listed)


def _logprobs(candidate: Any) -> tuple[tuple[float, ...] | None, tuple[dict[str, float], ...] | None]:
    found = candidate.logprobs_result
    if found is None or not found.chosen_candidates:
        return None, None
    chosen = tuple(float(one.log_probability) for one in found.chosen_candidates)
    top = tuple(
        {str(one.token): float(one.log_probability) for one in reversed(step.candidates or ())}
        for step in found.top_candidates or ()
    )
    return chosen, top or None


def _name(value: Any) -> str:
    """An enumeration's value, or the word that stands where the SDK knows no such value."""
    return str(getattr(value, "value", value) or "none")
