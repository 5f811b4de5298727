"""What a server can do: asked for by `medprm doctor`, and learnt from its refusals while a run goes on.

    abilities = Abilities()
    abilities.learn("… Use 'max_completion_tokens' instead.", {"max_tokens"})  →  True
    abilities.tokens_field  →  "max_completion_tokens"

None means not known: it is tried. A refusal is learnt from only where it names a field that the request carried, and
only a refusal proves that something is missing; what is learnt stands in `learnt`, and in the notes of the replies
whose outcome it changes.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import asdict, dataclass, field
from typing import Any

_SCHEMA = r"response_format|json_schema|structured output|response_?(json_?)?schema|JSON mode"
_RULES: tuple[tuple[str, str, re.Pattern[str]], ...] = (
    ("max_tokens", "max_tokens", re.compile(r"max_completion_tokens")),
    ("continuation", "continue_final_message", re.compile(r"continue_final_message|add_generation_prompt")),
    ("logprobs", "logprobs", re.compile(r"log_?probs", re.IGNORECASE)),
    ("schema", "response_format", re.compile(_SCHEMA, re.IGNORECASE)),
    ("seed", "seed", re.compile(r"\bseed\b", re.IGNORECASE)),
    (
        "n",
        "n",
        re.compile(
            r"""['"`]n['"`]|\bn\s*(>|=|must|should|is not)|(parameter|argument|field)s?:? n\b"""
            r"""|(only|multiple|more than) (one |1 |a single )?(completion )?(choice|completion|candidate)s?""",
            re.IGNORECASE,
        ),
    ),
)
"""Ability, the field of a request that needs it, and how a refusal names it; the first that fits is learnt."""

SAYS = {
    "max_tokens": "the server wants max_completion_tokens for max_tokens",
    "continuation": "the server cannot continue a message: prefixes are continued in the prompt",
    "logprobs": "the server gives no log-probabilities",
    "schema": "the server takes no JSON schema: left out",
    "seed": "the server takes no seed: left out",
    "n": "the server gives one answer a call: each is asked for by itself",
}
"""What is learnt, in words."""


@dataclass
class Abilities:
    """Of one model on one server."""

    models: tuple[str, ...] = ()
    """What it serves."""
    owner: str = ""
    """`owned_by` of the model: vllm, openai, …"""
    context: int | None = None
    """Tokens of prompt and answer at most."""
    images: bool | None = None
    n: bool | None = None
    """Several answers in one call."""
    logprobs: bool | None = None
    schema: bool | None = None
    """Holds answers to a JSON schema."""
    continuation: bool | None = None
    """Continues an assistant's message itself."""
    seed: bool | None = None
    tokens_field: str = "max_tokens"
    """max_tokens or max_completion_tokens."""
    learnt: list[str] = field(default_factory=list)
    """What its refusals taught, in words."""

    def learn(self, said: str, sent: Collection[str]) -> bool:
        """Whether a refusal names a field that was sent and can be left out or named otherwise; if so, it will be."""
        for ability, needs, names in _RULES:
            if needs in sent and names.search(said):
                self.lacks(ability)
                return True
        return False

    def lacks(self, ability: str) -> None:
        """From now on the server is not asked for this."""
        if ability == "max_tokens":
            self.tokens_field = "max_completion_tokens"
        else:
            setattr(self, ability, False)
        if SAYS[ability] not in self.learnt:
            self.learnt.append(SAYS[ability])

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for `medprm doctor --json`."""
        return asdict(self)
