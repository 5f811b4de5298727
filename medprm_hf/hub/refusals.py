"""What the Hub's client raises, told as our own errors: which repo, which revision, what failed, and the way out.

    with asking(Place("org/name", "dataset"), "read README.md"):
        ...                                      # RevisionNotFoundError, ConnectError, 403 … -> HubError

The Hub answers 404 for a private repo to those who may not see it, and the client calls a 401 on a repo's address
"not found": the messages say both possibilities. No message carries a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from medprm_hf.errors import HubConflict, HubError, MedPRMError


@dataclass(frozen=True)
class Place:
    """What is spoken of: a repo, and where it matters a revision and a file of it."""

    name: str
    kind: str = "dataset"
    revision: str = "main"
    path: str | None = None
    endpoint: str = "https://huggingface.co"
    token: str | None = field(default=None, repr=False)

    @property
    def said(self) -> str:
        """`dataset org/name`."""
        return f"{self.kind} {self.name}"

    def at(self, revision: str | None = None, path: str | None = None) -> Place:
        """The same repo at a revision, and a file of it."""
        return replace(self, revision=revision or self.revision, path=path)


@contextmanager
def asking(place: Place, what: str) -> Iterator[None]:
    """Turns the client's errors into HubError; `what` says what was tried, as in `commit 3 files`."""
    try:
        yield
    except MedPRMError:
        raise
    except Exception as error:
        found = refusal(error, place, what)
        if found is None:
            raise
        raise found from error


def refusal(error: BaseException, place: Place, what: str) -> HubError | None:
    """Our error for one of the client's; None where it is none of them (a bug, a local file that is missing)."""
    from huggingface_hub import errors

    cause = _deepest(error)
    if isinstance(cause, errors.HfHubHTTPError):
        return _answered(cause, place, what)
    if isinstance(cause, errors.OfflineModeIsEnabled) or (
        isinstance(cause, errors.LocalEntryNotFoundError) and _switched_off()
    ):
        return HubError(
            f"cannot {what} of {place.said}: the Hub is switched off here (HF_HUB_OFFLINE): unset it and try again",
            "offline",
        )
    if is_connection(cause) or isinstance(cause, errors.LocalEntryNotFoundError):
        return HubError(
            f"cannot {what} of {place.said}: {place.endpoint} cannot be reached ({_clean(cause, place)}): check the "
            f"connection and HF_ENDPOINT, then try again",
            "connection",
        )
    if isinstance(cause, errors.LocalTokenNotFoundError):
        return HubError(f"cannot {what} of {place.said}: no token: `hf auth login`, or set HF_TOKEN", "login")
    if isinstance(cause, (errors.HFValidationError, ValueError)) and "README.md" in str(cause):
        return HubError(f"cannot {what} of {place.said}: {_clean(cause, place)}: mend the header of README.md", "card")
    if isinstance(cause, errors.HFValidationError):
        return HubError(f"{place.name!r} is no name of a repo: {_clean(cause, place)}", "name")
    return None


def is_connection(error: BaseException) -> bool:
    """Whether the request may not have reached the Hub, or its answer not us."""
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    transport = HfHubHTTPError.__bases__[0]  # the HTTP library's own base, whichever library this version has
    lost = (transport, ConnectionError, TimeoutError)
    return isinstance(error, lost) and not isinstance(error, (HfHubHTTPError, OfflineModeIsEnabled))


def may_pass(error: BaseException) -> bool:
    """Whether the same request may do better a moment later: the connection broke, or the Hub has trouble (5xx)."""
    return is_connection(_deepest(error)) or (status_of(error) or 0) >= 500


def status_of(error: BaseException) -> int | None:
    """The HTTP status of an answer that the client raised, also where it wrapped it once more."""
    response = getattr(_deepest(error), "response", None)
    return None if response is None else int(response.status_code)


def _deepest(error: BaseException) -> BaseException:
    """The error itself, or what an upload's RuntimeError, or a missing cache entry, was raised from."""
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, OfflineModeIsEnabled

    wrapped = isinstance(error, (RuntimeError, LocalEntryNotFoundError)) and not isinstance(error, HfHubHTTPError)
    cause = error.__cause__
    if wrapped and cause is not None:
        deeper = _deepest(cause)
        if isinstance(deeper, (HfHubHTTPError, OfflineModeIsEnabled)) or is_connection(deeper):
            return deeper
    return error


def _answered(error: BaseException, place: Place, what: str) -> HubError:
    """The Hub answered, with a status that is no success."""
    from huggingface_hub import errors

    status = status_of(error)
    cannot = f"cannot {what} of {place.said}"
    if isinstance(error, errors.GatedRepoError):
        return HubError(f"{cannot}: it is gated: ask for access at {place.endpoint}, then use that token", "gated")
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(
            f"{place.said} has no revision {place.revision!r}: it was deleted, rewritten or never there; name a "
            f"branch, a tag or a commit that `hf repos branch list` or its page shows",
            "revision",
        )
    if isinstance(error, errors.EntryNotFoundError):
        return HubError(f"{place.said} has no file {place.path or what!r} at revision {place.revision!r}", "file")
    if status == 401:
        return HubError(
            f"{cannot}: the token is missing or was not accepted (expired, revoked, of another Hub?), and without one "
            f"a private repo cannot be seen: `hf auth login`, or set HF_TOKEN",
            "login",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"there is no {place.said} at {place.endpoint}, or this token may not see it (a private repo looks "
            f"missing): check the name, or use a token with access (HF_TOKEN)",
            "repo",
        )
    return _by_status(status, cannot, _clean(error, place), place)


def _by_status(status: int | None, cannot: str, said: str, place: Place) -> HubError:
    if status == 403:
        way = (
            f"open a pull request with `medprm contribute FILE --to {place.name}`, or "
            if place.kind == "dataset"
            else ""
        )
        return HubError(
            f"{cannot}: this token has no right to do so (403: {said}). It needs write rights: {way}use a token with "
            f"write access to {place.name}",
            "rights",
        )
    if status in (409, 412):
        return HubConflict(f"{cannot} at {place.revision!r}: somebody else was first ({said}): read it again and retry")
    if status in (413, 429):
        return HubError(f"{cannot}: over a limit of the Hub ({status}: {said}): wait, or send less at once", "limit")
    if status is not None and status >= 500:
        return HubError(f"{cannot}: the Hub has trouble ({status}: {said}): try again later", "server")
    return HubError(f"{cannot}: refused ({status}: {said})", "refused")


def _clean(error: BaseException, place: Place) -> str:
    """The client's or server's own words in one line, without the token."""
    words = str(getattr(error, "server_message", None) or error)
    line = " ".join(words.split())[:300] or type(error).__name__
    from huggingface_hub import get_token

    for token in filter(None, (place.token, get_token())):
        line = line.replace(token, "<token>")
    return line


def _switched_off() -> bool:
    from huggingface_hub import constants

    return bool(constants.HF_HUB_OFFLINE)
