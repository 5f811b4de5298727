"""Every error that a user of medprm-hf can meet, as one tree.

MedPRMError
├── ConfigError          a recipe, a setting or a command line that cannot work
│   └── MissingExtraError    an optional package is not installed
├── DataError            rows, files or images that cannot be used
│   ├── ImageError           an image that is missing, broken or over a limit
│   └── FormatError          a file that breaks the rules of its format
├── BackendError         a model or its server did not give an answer
│   ├── AuthError            the key is missing or wrong: nothing will work until it is mended
│   ├── BudgetError          the money set aside is spent
│   ├── StoppedError         somebody pressed Ctrl-C: nothing more is asked
│   └── PendingError         a provider's batch is under way: come back later
├── ParseError           an answer arrived, but it cannot be read
├── StoreError           a run directory, journal or review store that cannot be used
│   └── ReviewError          what a reviewer asked of the store cannot be done
├── HubError             the Hub cannot be reached, refused, or has not what was asked for
│   └── HubConflict          somebody else's commit was first
└── PublishError         a check before publishing failed, or what was to be published cannot be

Each message names what was found, what is needed, and the way out. Rows never raise: what goes wrong inside
a row becomes an entry of its `errors` column (`row_error`).
"""

from __future__ import annotations


class MedPRMError(Exception):
    """Base of all errors that medprm-hf raises on purpose."""


class ConfigError(MedPRMError):
    """A recipe, a setting or a command line that cannot work."""


class MissingExtraError(ConfigError):
    """An optional package is not installed; the message carries the install line."""

    def __init__(self, feature: str, extra: str, missing: str) -> None:
        super().__init__(f"{feature} needs {missing}: pip install 'medprm-hf[{extra}]'")


class DataError(MedPRMError):
    """Rows, files or images that cannot be used."""


class ImageError(DataError):
    """An image that is missing, broken or over a limit."""


class FormatError(DataError):
    """A file that breaks the rules of its format."""


class BackendError(MedPRMError):
    """A model or its server did not give an answer.

    `kind` is a short machine-readable reason (`timeout`, `http_500`, `no_choices`, …).
    """

    def __init__(self, message: str, kind: str = "backend") -> None:
        super().__init__(message)
        self.kind = kind


class AuthError(BackendError):
    """The key is missing or wrong: nothing will work until it is mended."""


class BudgetError(BackendError):
    """The money set aside is spent."""


class StoppedError(BackendError):
    """Somebody pressed Ctrl-C: nothing more is asked, what is in flight may end."""


class PendingError(BackendError):
    """A provider's batch is under way: nothing is wrong, come back later."""


class ParseError(MedPRMError):
    """An answer arrived, but it cannot be read."""


class StoreError(MedPRMError):
    """A run directory, journal or review store that cannot be used."""


class ReviewError(StoreError):
    """What a reviewer asked of the store cannot be done.

    `kind` tells why: `unknown_item`, `unknown_step`, `held` (somebody else has the item), `changed` (the item is no
    longer what was shown), `key` (used for another decision), `value` (a label, box or time that is none), `nothing`
    (there is nothing to undo), `rights` (the role may not do this), `login` (nobody is logged in).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class HubError(MedPRMError):
    """The Hub cannot be reached, refused, or has not what was asked for.

    `kind` tells which: `name` (no repo name), `offline` (switched off here), `connection`, `login` (no token, or not
    accepted), `rights` (the token may not do this), `gated`, `repo`, `revision`, `file` or `pull_request` (not there),
    `card` (the README's header is broken), `limit` (too many requests, too large), `conflict`, `server` (5xx),
    `refused` (anything else).
    """

    def __init__(self, message: str, kind: str = "refused") -> None:
        super().__init__(message)
        self.kind = kind


class HubConflict(HubError):
    """Somebody else's commit was first, or a pull request clashes with what was merged since."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "conflict")


class PublishError(MedPRMError):
    """A check before publishing failed, or what was to be published cannot be."""


def row_error(stage: str, kind: str, message: str) -> dict[str, str]:
    """One entry of the `errors` column."""
    return {"stage": stage, "kind": kind, "message": message}
