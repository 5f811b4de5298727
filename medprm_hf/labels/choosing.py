"""Which settings an estimator takes, and which of a recipe's do not fit together.

>>> settings_for("fixed", {"k": 8, "tau": 0.5, "early_stop": True}, {"rule": "value"})
{'k': 8, 'tau': 0.5, 'early_stop': True, 'rule': 'value'}
>>> settings_for("fixed", {"k": 8}, {"price": 0.002})
ConfigError: rollout.settings.price=0.002 is no setting of rollout.estimator=fixed; there is: …
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from medprm_hf.errors import ConfigError
from medprm_hf.labels.monte_carlo import ESTIMATORS, make_estimator
from medprm_hf.registry import near, resolve

OWN_NAMES = {"k": "k", "tau": "threshold", "early_stop": "early_stop", "corrected": "corrected"}
"""Settings of estimators that have a key of their own in the recipe's rollout section."""
FEW_STEPS = frozenset(("bisect", "first_error"))
"""Estimators that sample where it tells most: most steps have no expected accuracy of their own."""
WITHOUT_P_RIGHT = frozenset(("fixed", "first_success", "bisect"))


def known_settings(estimator: str) -> tuple[str, ...]:
    """Names of an estimator's settings; ConfigError with near names for an unknown estimator."""
    return tuple(getattr(resolve("estimator", ESTIMATORS, estimator), "__dataclass_fields__", ()))


def settings_for(estimator: str, own: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that the named estimator is made with; it is made once, so that they are checked.

    `own` are the recipe's keys (`OWN_NAMES`), `given` its further settings. An estimator that counts no rollouts
    per prefix does without k; tau = 0 leaves the estimator's own. Raises ConfigError, with the setting, the
    estimator and the way out, for one that it does not have, or that is given twice.
    """
    known = known_settings(estimator)
    for name, value in own.items():
        if value and name != "k" and name not in known:
            raise ConfigError(
                f"rollout.{OWN_NAMES[name]}={value} is no setting of rollout.estimator={estimator}: leave it out, or "
                f"take {' or '.join(_takers(name))}"
            )
    for name in given:
        if name in own and name in known:
            raise ConfigError(
                f"rollout.settings.{name}={given[name]} stands beside rollout.{OWN_NAMES[name]}={own[name]}: "
                f"write rollout.{OWN_NAMES[name]}={given[name]}"
            )
        if name not in known:
            raise ConfigError(
                f"rollout.settings.{name}={given[name]} is no setting of rollout.estimator={estimator}"
                f"{near(name, known)}"
            )
    chosen = {name: value for name, value in own.items() if name in known and (value or name != "tau")} | dict(given)
    make_estimator(estimator, **chosen)
    return chosen


def _takers(setting: str) -> list[str]:
    return [name for name in ESTIMATORS if setting in known_settings(name)]


def check_chance(chance: str, corrected: bool, options_shown: bool, shuffle_options: bool) -> None:
    """Refuses what contradicts itself in how the options are shown and what is taken for chance; ConfigError."""
    if shuffle_options and not options_shown:
        raise ConfigError(
            "rollout.shuffle_options=true and rollout.options_shown=false: options that are not shown have no order; "
            "keep one of the two"
        )
    if corrected and chance == "none":
        raise ConfigError(
            "rollout.corrected=true takes chance out of the expected accuracy, but rollout.chance=none: "
            "take options or empty_prefix"
        )
    if corrected and chance == "options" and not options_shown:
        raise ConfigError(
            "rollout.corrected=true with rollout.chance=options, but rollout.options_shown=false leaves nothing to "
            "guess among: take rollout.chance=empty_prefix"
        )


@dataclass(frozen=True)
class Fit:
    """What of a recipe's rollout and merge sections has to fit together."""

    estimator: str
    early_stop: bool
    threshold: float
    """rollout.threshold."""
    corrected: bool
    chance: str
    policy: str
    figure: str
    tau: float
    """merge.threshold."""
    monotone: bool

    def check(self) -> None:
        """Raises ConfigError, with both values and the way out, for the first two that do not fit."""
        self._check_thresholds()
        self._check_corrected()
        self._check_p_right() if self.figure == "p_right" else self._check_mc()

    def _check_thresholds(self) -> None:
        if self.early_stop and self.policy == "value" and self.figure != "p_right" and self.threshold != self.tau:
            raise ConfigError(
                f"rollout.early_stop=true stops at rollout.threshold={self.threshold:g}, but merge.threshold="
                f"{self.tau:g} decides the labels: set both alike"
            )

    def _check_corrected(self) -> None:
        if self.corrected and self.figure != "corrected":
            raise ConfigError(
                f"rollout.corrected=true stops by corrected expected accuracy, but merge.figure={self.figure} labels "
                "by another: take merge.figure=corrected"
            )
        if self.figure == "corrected" and self.early_stop and not self.corrected:
            raise ConfigError(
                "merge.figure=corrected labels by corrected expected accuracy, but rollout.early_stop=true stops by "
                "the raw one (rollout.corrected=false): set rollout.corrected=true"
            )
        if self.figure == "corrected" and self.chance == "none":
            raise ConfigError("merge.figure=corrected needs a chance, but rollout.chance=none: take options")

    def _check_p_right(self) -> None:
        if self.estimator in WITHOUT_P_RIGHT:
            raise ConfigError(
                f"merge.figure=p_right reads P(right), which rollout.estimator={self.estimator} does not give: take "
                "merge.figure=mc, or estimator first_error or sequential"
            )
        if self.policy == "value" and self.tau == 0:
            raise ConfigError(
                "merge.figure=p_right with merge.threshold=0 calls every step right, for P(right) is never 0: "
                "set merge.threshold=0.5"
            )
        if self.policy == "advantage":
            raise ConfigError(
                "merge.policy=advantage reads the rise of the expected accuracy, merge.figure=p_right has none: take "
                "merge.figure=mc, or policy value"
            )

    def _check_mc(self) -> None:
        if self.estimator == "first_success" and (self.policy != "value" or self.tau > 0 or self.figure != "mc"):
            raise ConfigError(
                f"rollout.estimator=first_success only tells whether mc is above 0, but merge.policy={self.policy}, "
                f"merge.figure={self.figure} and merge.threshold={self.tau:g} reads how high it is: take policy value "
                "with figure mc and threshold 0, or rollout.estimator=fixed"
            )
        inferred = self.estimator == "bisect" and self.policy == "value" and self.monotone
        if self.estimator in FEW_STEPS and self.policy != "judge_first" and not inferred:
            other = "policy value with merge.monotone=true" if self.estimator == "bisect" else "merge.figure=p_right"
            raise ConfigError(
                f"merge.policy={self.policy} with merge.figure={self.figure} reads the expected accuracy of every "
                f"step, but rollout.estimator={self.estimator} samples only where it tells most: take {other}, or "
                "rollout.estimator=fixed"
            )
