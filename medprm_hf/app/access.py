"""Who may see labels and signals, and who may propose to the Hub.

Without blind mode whoever may open the page may explore and download. In blind mode labels, judge and rollouts would
tell a reviewer what to answer, so only adjudicators and admins see the Explore and Export tabs' content; and a
proposal to the Hub, which uses the Space's own token, needs a reviewer.
"""

from __future__ import annotations

from typing import Any

from medprm_hf.app.decisions import Join, joining, unchanged
from medprm_hf.app.identity import Identities, Identity
from medprm_hf.app.routing import Refusal
from medprm_hf.app.settings import AppSettings


class Access:
    """Asks who it is, and lets in or refuses."""

    def __init__(self, settings: AppSettings) -> None:
        self._blind = settings.blind
        self._store = settings.store
        self._identities = Identities.from_settings(settings)

    def seer(self, request: Any) -> Identity:
        """Whoever may see labels; Refusal (403) else."""
        found = self._identities.identify(request)
        if self._blind and not found.may("adjudicator"):
            raise Refusal(403, "blind", "review is blind here: only adjudicators see labels before they are given")
        return found

    def join(self, request: Any) -> Join:
        """Puts people's decisions into rows, for those who may review; visitors see the dataset as it is."""
        return joining(self._store) if self.seer(request).may("reviewer") else unchanged

    def proposer(self, request: Any) -> Identity:
        """Whoever may open a pull request; Refusal (401 or 403) else."""
        found = self.seer(request)
        if not found.may("reviewer"):
            status = 403 if found.name else 401
            raise Refusal(status, "role", "only reviewers may propose to the Hub: log in, or ask for the role")
        return found
