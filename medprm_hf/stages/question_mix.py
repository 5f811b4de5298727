"""Sampling questions down to a mix of domains and difficulties, by a lottery that depends on names and seed alone.

Published mixes (easy / medium / hard): radiology 30/50/20, pathology 20/50/30, clinical photographs 40/45/15; domains
4 : 3 : 3. The largest sample that has exactly the shares is taken; what is over is dropped with the reason.

    tickets = [Ticket(0.2, "radiology", "hard"), …]
    limits = limits_of(tickets, None, {"radiology": {"easy": 0.3, "medium": 0.5, "hard": 0.2}})
    limits  →  {"radiology/hard": 0.41, …}: questions whose place is above it are left out
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import floor, inf
from typing import NamedTuple

from medprm_hf.errors import ConfigError
from medprm_hf.text.domains import DOMAINS

DIFFICULTIES = ("easy", "medium", "hard")
Difficulties = Mapping[str, Mapping[str, float]]


class Ticket(NamedTuple):
    """A question in the lottery."""

    place: float
    """0..1."""
    domain: str | None
    difficulty: str | None

    def name(self, split_by_difficulty: bool) -> str:
        """The class whose share it counts for."""
        return f"{self.domain}/{self.difficulty}" if split_by_difficulty else str(self.domain)


def check_mix(domains: Mapping[str, float] | None, difficulties: Difficulties | None) -> None:
    """Raises ConfigError for names that are none, and shares that do not add up to 1."""
    tables = [("domains", DOMAINS, domains)] if domains else []
    for name, shares in (difficulties or {}).items():
        _known(f"difficulties.{name}", DOMAINS, name)
        tables.append((f"difficulties.{name}", DIFFICULTIES, shares))
    for where, names, shares in tables:
        for name in shares:
            _known(where, names, name)
        if abs(sum(shares.values()) - 1) > 1e-6:
            raise ConfigError(f"questions.{where}: the shares add up to {sum(shares.values()):g}: make it 1")


def _known(where: str, names: Sequence[str], name: str) -> None:
    if name not in names:
        raise ConfigError(f"questions.{where}: {name!r} is none of {', '.join(names)}")


def limits_of(
    tickets: Sequence[Ticket], domains: Mapping[str, float] | None, difficulties: Difficulties | None
) -> dict[str, float]:
    """Per class the place up to which questions stay; classes without an entry stay whole."""
    difficulties = difficulties or {}
    shares: dict[str, float] = {}
    for domain in domains or difficulties:
        weight = domains[domain] if domains else 1.0
        for difficulty, share in difficulties.get(domain, {"": 1.0}).items():
            shares[f"{domain}/{difficulty}" if difficulty else domain] = weight * share
    places: dict[str, list[float]] = {name: [] for name in shares}
    for ticket in tickets:
        name = ticket.name(ticket.domain in difficulties)
        if name in places:
            places[name].append(ticket.place)
    limits: dict[str, float] = {}
    for group in [list(shares)] if domains else [[n for n in shares if n.split("/")[0] == d] for d in difficulties]:
        size = min((len(places[name]) / shares[name] for name in group if shares[name]), default=inf)
        for name in group:
            stay = floor(size * shares[name] + 1e-9)
            limits[name] = sorted(places[name])[stay - 1] if stay else -1.0
    return limits


def left_out(
    ticket: Ticket,
    limits: Mapping[str, float],
    domains: Mapping[str, float] | None,
    difficulties: Difficulties | None,
) -> str | None:
    """Why a question is not in the sample; None where it is."""
    by_difficulty = ticket.domain in (difficulties or {})
    name = ticket.name(by_difficulty)
    if domains is None and not by_difficulty:
        return None
    if name not in limits:
        return f"mix: {name} has no share in questions.{'difficulties' if by_difficulty else 'domains'}"
    return f"mix: {name} has more questions than its share" if ticket.place > limits[name] else None
