"""Acceptance sampling: how many errors a batch's sample may show before the batch goes back.

    c = the largest number with P(X <= c | n, threshold) <= risk        a single sampling plan for attributes

A batch that truly has `threshold` errors is let through with probability `risk` at most. Counted in steps, which are
taken as independent; steps of one solution are alike, so the true risk is somewhat higher.

>>> acceptance_number(100, 0.05, 0.05), acceptance_number(40, 0.05, 0.05)
(1, None)
>>> smallest_sample(0.05, 0.05)
59
>>> check(100, 1, 0.05, 0.05).verdict
'accepted'
"""

from __future__ import annotations

from math import ceil, log
from typing import NamedTuple

from medprm_hf.errors import ConfigError

ACCEPTED, REJECTED, OPEN = "accepted", "rejected", "open"


class Check(NamedTuple):
    """A sample held against its plan."""

    n: int
    """Steps of the sample that have been checked."""
    errors: int
    sample: int
    """Steps that the plan asks for."""
    allowed: int
    """Errors with which the batch still goes through."""
    share: float | None
    """errors / n; None before anything was checked."""
    upper: float | None
    """Upper end of a one-sided exact interval (Clopper, Pearson) for the share of errors, at 1 - risk."""
    verdict: str
    """accepted, rejected, or open: the sample is not read to its end."""
    reason: str


def acceptance_number(n: int, threshold: float, risk: float) -> int | None:
    """Errors that a sample of n may show; None where even a sample without errors proves too little."""
    from scipy.stats import binom

    allowed = int(binom.ppf(risk, n, threshold))
    while allowed >= 0 and binom.cdf(allowed, n, threshold) > risk:
        allowed -= 1
    return allowed if allowed >= 0 else None


def smallest_sample(threshold: float, risk: float) -> int:
    """The smallest sample that can prove anything: (1 - threshold) ** n <= risk."""
    return ceil(log(risk) / log(1 - threshold))


def check(n: int, errors: int, threshold: float, risk: float, sample: int | None = None) -> Check:
    """A sample of which n steps were checked. ConfigError for a plan that cannot prove anything."""
    if not 0 < threshold < 1 or not 0 < risk < 1:
        raise ConfigError(f"gate: threshold={threshold:g} and risk={risk:g} must lie between 0 and 1")
    wanted = n if sample is None else sample
    allowed = acceptance_number(wanted, threshold, risk)
    if allowed is None:
        least = smallest_sample(threshold, risk)
        raise ConfigError(
            f"gate: a sample of {wanted} cannot show fewer than {threshold:.1%} errors at risk {risk:g}: "
            f"take {least} steps or more, or a higher threshold"
        )
    share, upper = (errors / n, _upper(n, errors, risk)) if n else (None, None)
    verdict, reason = _verdict(n, errors, wanted, allowed, threshold)
    return Check(n, errors, wanted, allowed, share, upper, verdict, reason)


def _verdict(n: int, errors: int, wanted: int, allowed: int, threshold: float) -> tuple[str, str]:
    if errors > allowed:
        return (
            REJECTED,
            f"{errors} errors in {n} steps; at most {allowed} in {wanted} for a threshold of {threshold:.1%}",
        )
    if n < wanted:
        return OPEN, f"{n} of {wanted} steps are checked, {errors} errors so far (at most {allowed})"
    return ACCEPTED, f"{errors} errors in {n} steps, {allowed} are allowed for a threshold of {threshold:.1%}"


def _upper(n: int, errors: int, risk: float) -> float:
    from scipy.stats import beta

    return 1.0 if errors >= n else float(beta.ppf(1 - risk, errors + 1, n - errors))
