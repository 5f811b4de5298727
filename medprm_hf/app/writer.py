"""Solutions that a backend writes for the Score tab, where one is configured.

    Writer("phantom:policy").write("Which follow-up?", ["no follow-up", …], png, n=4)
        ->  (["Nodules: one.\\n\\nLargest: …", …], ["http_500: …"])

What failed is told beside what arrived; nothing is made up for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from threading import Lock

from medprm_hf.backends.protocol import Completion, Message, Request, Sampling
from medprm_hf.text.prompts import solve_prompt

MOST_TOKENS = 1024
"""New tokens of one solution."""


class Writer:
    """One backend, asked by one thread at a time."""

    def __init__(self, spec: str) -> None:
        self.spec = spec
        # The phantom policy was trained on bare questions; others are told how to write their steps.
        self.style = "bare" if spec.startswith("phantom:") else "steps"
        self._lock = Lock()
        self._seed = 0

    def write(self, question: str, options: Sequence[str], image: bytes | None, n: int) -> tuple[list[str], list[str]]:
        """(solutions that arrived, reasons of those that failed); each call draws anew."""
        from medprm_hf.backends import open_backend

        asked = Message("user", solve_prompt(question, options, style=self.style), (image,) if image else ())
        with self._lock:
            self._seed += 1
            sampling = Sampling(temperature=0.7, max_tokens=MOST_TOKENS, seed=self._seed)
            (reply,) = open_backend(self.spec).complete([Request((asked,), n, sampling, key="space")])
        arrived = [place.text.strip() for place in reply.places if isinstance(place, Completion) and place.text.strip()]
        failed = [f"{place.kind}: {place.message}" for place in reply.places if not isinstance(place, Completion)]
        return arrived, failed
