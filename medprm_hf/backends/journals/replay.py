"""Answers from a recorded journal: the same run again, without a model, a server or a key, at no cost.

    replay:runs/demo/journal.sqlite                                the one model that the journal holds answers of
    replay:runs/demo/journal.sqlite?model=openai:gpt-4o-mini       one of several

What was recorded as failed fails again, with its reason. What was never asked is a Failure of kind `not_recorded` that
names the nearest recorded request and says which of its parts differ, for instance

    no answer was recorded for request 'q7/0': nearest is the one of key 'q7/0', other are temperature (recorded 0.7,
    asked 1.0) and the text of turn 1 (recorded '…left lung…', asked '…right lung…')
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from medprm_hf.backends.books import books
from medprm_hf.backends.journals.journal import Journal, Recorded, place_names
from medprm_hf.backends.journals.journaled import model_of
from medprm_hf.backends.journals.nearest import Nearest
from medprm_hf.backends.open import read_settings, split_target
from medprm_hf.backends.protocol import Completion, Continuation, Failure, Reply, Request, Usage
from medprm_hf.errors import ConfigError
from medprm_hf.registry import near

NAMED_A_CALL = 20
"""Misses of one call that name their nearest request; to search for thousands would take minutes."""


@dataclass(frozen=True)
class ReplaySettings:
    """Options of a spec."""

    model: str = ""
    """Identity in the journal, `provider:model`; may be left out where the journal holds one."""


class ReplayBackend:
    """One model's part of a journal, which is only read."""

    local = True

    def __init__(self, journal: Path, settings: ReplaySettings | None = None) -> None:
        self._journal = Journal(journal, readonly=True)
        self.identity = _identity(self._journal, (settings or ReplaySettings()).model)
        self.model = model_of(self.identity)
        self.usage = Usage()
        self._nearest = Nearest(self._journal, self.identity)

    @classmethod
    def from_spec(cls, options: str) -> ReplayBackend:
        """`PATH?model=IDENTITY`."""
        path, given = split_target(options)
        return cls(Path(path), read_settings(ReplaySettings, given, "replay"))

    def complete(self, requests: Sequence[Request]) -> list[Reply]:
        """One reply a request, in order; a place that was never recorded holds a Failure `not_recorded`."""
        names = [place_names(self.identity, request) for request in requests]
        flat = [name for own in names for name in own]
        known = self._journal.recall(flat)
        failed = self._journal.failures([name for name in flat if name not in known])
        explained = 0
        replies = []
        for request, own in zip(requests, names, strict=True):
            miss = None
            if any(name not in known and name not in failed for name in own):
                miss = self._miss(request, own, known, explained < NAMED_A_CALL)
                explained += 1
            replies.append(_reply(own, known, failed, miss))
        for reply in replies:
            self.usage.add(reply)
        books().meter.found(self.identity, len(known))
        return replies

    def close(self) -> None:
        """Closes the journal."""
        self._journal.close()

    def _miss(self, request: Request, names: list[str], known: Mapping[str, Recorded], explain: bool) -> Failure:
        said = f"no answer was recorded for request {request.key!r}"
        if any(name in known for name in names):
            have = sum(name in known for name in names)
            said += f": {have} of the {len(names)} draws asked for are in the journal; lower n, or ask the model"
        elif explain:
            said += self._nearest.to(request)
        return Failure("not_recorded", f"{said} ({self._journal.path}, {self.identity})")


def _reply(
    names: list[str], known: Mapping[str, Recorded], failed: Mapping[str, Failure], miss: Failure | None
) -> Reply:
    places: list[Completion | Failure] = []
    for name in names:
        if name in known:
            places.append(known[name].completion)
        else:
            found = failed.get(name, miss)
            assert found is not None
            places.append(found)
    continuation: Continuation = next((known[name].continuation for name in names if name in known), "none")
    return Reply(tuple(places), 0, continuation, sum(name in known for name in names))


def _identity(journal: Journal, model: str) -> str:
    """The identity that is asked for; ConfigError with near names, or with all where none was named."""
    there = [row[0] for row in journal.query("SELECT DISTINCT identity FROM requests ORDER BY identity")]
    if model in there:
        return model
    if model:
        raise ConfigError(f"the journal {journal.path} holds no answers of {model!r}{near(model, there)}")
    if len(there) != 1:
        raise ConfigError(
            f"the journal {journal.path} holds answers of {len(there)} models: name one of them with ?model= "
            f"({', '.join(there) or 'none yet'})"
        )
    return str(there[0])
