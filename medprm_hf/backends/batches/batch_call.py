"""One call of a batch backend: its requests, what the journal holds of them, and which places lack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from medprm_hf.backends.batches.batch_notes import BatchNotes
from medprm_hf.backends.journals.journal import Journal, place_names
from medprm_hf.backends.protocol import Request
from medprm_hf.backends.servers.feed import Order


class BatchCall:
    """Orders of a call by the names of their places."""

    def __init__(self, requests: Sequence[Request], recorded_as: str, journal: Journal) -> None:
        self.orders = [Order(number, request) for number, request in enumerate(requests)]
        self.places: dict[str, tuple[Order, int]] = {}
        """The first order and place that have a name."""
        for order in self.orders:
            order.names = place_names(recorded_as, order.request)
            for place, name in enumerate(order.names):
                self.places.setdefault(name, (order, place))
        self.known = frozenset(self._fill(journal))
        self.failed: list[str] = []
        """Names whose failure is handed over."""
        for order in self.orders:
            order.from_journal = len(order.found)

    def lacking(self) -> list[str]:
        """Names of places that hold nothing, each once, in order."""
        names = (name for order in self.orders for place, name in enumerate(order.names) if place not in order.found)
        return list(dict.fromkeys(names))

    def look_up(self, journal: Journal, notes: BatchNotes) -> None:
        """Takes what the journal holds by now, and the failures that are final."""
        paid: set[str] = set()
        for name, tokens in self._fill(journal).items():
            order, _ = self.places[name]
            order.prompt_tokens += tokens
            paid.add(name)
        failures = notes.failed(self.lacking())
        self.failed += failures
        for order in self.orders:
            for place, name in enumerate(order.names):
                if place not in order.found and name in failures:
                    order.found[place] = failures[name]

    def grouped(self, names: Sequence[str]) -> Iterator[tuple[Order, list[int]]]:
        """The named places by order; one place for all of the same name."""
        by_order: dict[int, list[int]] = {}
        for name in names:
            order, place = self.places[name]
            by_order.setdefault(order.number, []).append(place)
        for number, places in by_order.items():
            yield self.orders[number], places

    def _fill(self, journal: Journal) -> dict[str, int]:
        """Fills in what the journal holds; gives the prompt tokens of each name that is new."""
        names = self.lacking()
        held = journal.recall(names)
        for order in self.orders:
            for place, name in enumerate(order.names):
                if place not in order.found and name in held:
                    order.found[place] = held[name].completion
                    order.continuation = held[name].continuation
        return {name: found.prompt_tokens for name, found in held.items()}
