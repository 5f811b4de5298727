"""The meter: what has been asked, what it cost, and when the budget is spent.

    meter = Meter(budget=25)
    meter.check()                                          BudgetError once 25 USD are spent
    meter.book("openai:gpt-4o-mini", 1200, 300)            0.00036 USD, on the account of the present stage
    meter.totals()["rollout", "openai:gpt-4o-mini"].cost

Cost is known, `local` (a server of one's own: 0) or unknown (no price: None, never 0). With a ledger (`ledger.py`) what
earlier sessions and other processes of the same run have spent counts too.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from medprm_hf.backends.money.ledger import Ledger
from medprm_hf.backends.money.prices import PriceTable
from medprm_hf.backends.money.tally import Account, Tally, money
from medprm_hf.backends.stopping import check_stop
from medprm_hf.errors import BudgetError, ConfigError


class Meter:
    """Books every response of a process; thread-safe."""

    def __init__(
        self, budget: float | None = None, prices: PriceTable | None = None, ledger: Path | Ledger | None = None
    ) -> None:
        if budget is not None and budget < 0:
            raise ConfigError(f"budget={budget:g} is below 0: give USD, or leave it out for no limit")
        self.budget = budget
        """USD at most; None: no limit."""
        self.prices = prices or PriceTable()
        self._ledger = Ledger(ledger) if isinstance(ledger, Path) else ledger
        self._lock = threading.Lock()
        self._stage = ""
        self._own: dict[Account, Tally] = {}
        self._spent = 0.0
        self._lately = 0.0

    @property
    def spent(self) -> float:
        """USD known to be spent, earlier sessions and other processes of the run included."""
        return self._spent + (self._ledger.spent if self._ledger else 0.0)

    def check(self, in_flight: int = 0) -> None:
        """Call before sending: BudgetError when the money is spent, StoppedError after Ctrl-C.

        Args:
            in_flight: requests that are out; they are counted at what the dearest has cost lately, so that many at
                once do not overshoot the budget by all of them.
        """
        check_stop()
        if self.budget is None:
            return
        spent = self.spent
        lately = self._lately or (self._ledger.mean if self._ledger else 0.0)
        reserved = (in_flight + 1) * lately
        if spent + reserved > self.budget or spent >= self.budget:
            raise BudgetError(
                f"{money(spent)} of the budget of {money(self.budget)} is spent, and the next request with what is in "
                f"flight may cost {money(reserved)}: go on with a higher --budget; nothing paid for is lost",
                "budget",
            )

    def book(
        self,
        identity: str,
        prompt_tokens: int,
        completion_tokens: int,
        *,
        completions: int = 1,
        cached_tokens: int = 0,
        batch: bool = False,
        local: bool = False,
    ) -> float | None:
        """Books one response that was paid for, read or not; gives its USD, None where the price is not known.

        Args:
            identity: `provider:model`, as in the journal.
            prompt_tokens: as the server counted them; `cached_tokens` of them were read from its cache.
            completion_tokens: of all completions together.
            completions: answers that could be read.
            cached_tokens: part of `prompt_tokens`.
            batch: asked through the provider's batch API.
            local: a server of one's own (`prices.is_local(base_url)`).
        """
        tariff = self.prices.tariff(identity, local)
        cost = None
        if tariff is not None:
            cost = tariff.cost(prompt_tokens, completion_tokens, cached_tokens=cached_tokens, batch=batch)
        is_local = tariff is not None and tariff.local
        new = Tally(1, completions, 0, prompt_tokens, completion_tokens, cost, is_local)
        with self._lock:
            self._add(identity, new)
        return cost

    def take(self, identity: str, asked: Tally) -> None:
        """Books what a backend that does not book itself has been asked; its price is looked up here."""
        tariff = self.prices.tariff(identity, asked.local)
        cost = tariff.cost(asked.prompt_tokens, asked.completion_tokens) if tariff else None
        with self._lock:
            self._add(identity, replace(asked, cost=cost))

    def fail(self, identity: str, kind: str, places: int = 1) -> None:
        """Books places that have failed for good."""
        with self._lock:
            self._add(identity, Tally(failures=Counter({kind: places})))

    def found(self, identity: str, completions: int) -> None:
        """Books completions that the journal held."""
        with self._lock:
            self._add(identity, Tally(from_journal=completions))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """What is booked meanwhile is booked on this stage."""
        before, self._stage = self._stage, name
        try:
            yield
        finally:
            self._stage = before

    def totals(self) -> dict[Account, Tally]:
        """A copy of what this process has booked, by (stage, identity)."""
        with self._lock:
            return {account: replace(t, failures=Counter(t.failures)) for account, t in self._own.items()}

    def since(self, before: dict[Account, Tally]) -> dict[Account, Tally]:
        """What was booked after `before = totals()`."""
        now = self.totals()
        news = {account: tally.minus(before.get(account, Tally())) for account, tally in now.items()}
        return {account: tally for account, tally in news.items() if tally != Tally(local=tally.local)}

    def sessions(self) -> dict[Account, Tally]:
        """As `totals`, with earlier sessions and other processes of the run."""
        found = self._ledger.totals() if self._ledger else {}
        for account, tally in self.totals().items():
            found.setdefault(account, Tally()).add(tally)
        return found

    def close(self) -> None:
        """Writes what the ledger does not hold yet."""
        with self._lock:
            if self._ledger:
                self._ledger.close()

    def _add(self, identity: str, new: Tally) -> None:
        account = (self._stage, identity)
        self._own.setdefault(account, Tally(local=new.local)).add(new)
        self._spent += new.cost or 0.0
        if new.cost:
            self._lately = max(new.cost, 0.99 * self._lately)  # the dearest of the last hundred or so
        if self._ledger:
            self._ledger.add(account, new)
