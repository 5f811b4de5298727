"""Who is asking: a name and a role, from the session cookie, the Hugging Face login or a script's token.

    identities = Identities.from_settings(settings)
    identities.identify(request)                     # Identity("ann", "reviewer"); never an error: else a visitor

Roles file (YAML or JSON); who stands nowhere has the default role:

    admin: [lead]
    adjudicator: [prof]
    reviewer: [ann, bob]
    org: my-hospital            # Hub mode: members of this organisation are reviewers
    default: visitor

Local mode (`medprm space`): one types a name, and a signed cookie keeps it; without a roles file whoever can reach the
server is admin, since it is their machine. Hub mode (SPACE_ID is set): the login is Hugging Face's; without a roles
file the Space's owner is admin and everyone else a visitor. Scripts send `Authorization: Bearer TOKEN`, a token of
`identities.token(name)`, or in Hub mode their Hugging Face token.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import yaml

from medprm_hf.errors import ConfigError, ReviewError
from medprm_hf.registry import near

if TYPE_CHECKING:
    from fastapi import FastAPI, Request, Response

Role = Literal["visitor", "reviewer", "adjudicator", "admin"]
ROLES: tuple[Role, ...] = ("visitor", "reviewer", "adjudicator", "admin")
"""Each may do what those before it may."""
COOKIE = "medprm_session"
STAYS = 30 * 24 * 3600
"""Seconds that a login holds."""
LONGEST_NAME = 60
_PROCESS_SECRET = secrets.token_hex(32)  # one a process, so that all its routes know each other's cookies
_KNOWN_FOR = 300.0
"""Seconds that an answer of the Hub on a token is believed."""


@dataclass(frozen=True)
class Identity:
    """Somebody who asks something of the server."""

    name: str
    """Empty for nobody in particular."""
    role: Role

    def may(self, role: Role) -> bool:
        """Whether they have this role, or a higher one."""
        return bool(self.name) and ROLES.index(self.role) >= ROLES.index(role)


NOBODY = Identity("", "visitor")


@dataclass(frozen=True)
class RoleList:
    """Who has which role."""

    names: Mapping[str, Role] = field(default_factory=dict)
    default: Role = "visitor"
    org: str | None = None

    @classmethod
    def read(cls, file: Path) -> RoleList:
        """From a roles file; ConfigError for one that cannot be read or names a role that is none."""
        try:
            data = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigError(f"roles file {file} cannot be read: {error}") from error
        if not isinstance(data, dict):
            raise ConfigError(f"roles file {file} holds a {type(data).__name__}: write `reviewer: [ann, bob]`")
        names: dict[str, Role] = {}
        default, org = data.pop("default", "visitor"), data.pop("org", None)
        for role in (*data, default):
            if role not in ROLES:
                raise ConfigError(f"roles file {file}: unknown role {role!r}{near(str(role), ROLES)}")
        for role in ROLES:  # a name that stands twice has the higher role
            names |= {str(name).casefold(): role for name in data.get(role) or []}
        return cls(names, default, org)

    def role(self, name: str, orgs: tuple[str, ...] = ()) -> Role:
        """The role of somebody, who may be a member of organisations."""
        member: Role = "reviewer" if self.org is not None and self.org in orgs else self.default
        return self.names.get(name.casefold(), member)


class Identities:
    """Tells who asks; one object a server."""

    def __init__(self, roles: RoleList | None = None, mode: str | None = None, secret: str | None = None) -> None:
        self.mode: Literal["local", "hub"] = (
            "hub" if (mode or ("hub" if os.environ.get("SPACE_ID") else "local")) == "hub" else "local"
        )
        self.roles = roles or self._default_roles()
        self._secret = secret or _PROCESS_SECRET
        self._hub_names: dict[str, tuple[float, Identity]] = {}
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Any) -> Identities:
        """By `roles` (a file) and `secret` of the Space's settings."""
        file = getattr(settings, "roles", None)
        return cls(RoleList.read(Path(file)) if file else None, secret=getattr(settings, "secret", None))

    def _default_roles(self) -> RoleList:
        if self.mode == "local":
            return RoleList(default="admin")
        owner = os.environ.get("SPACE_AUTHOR_NAME", "")
        return RoleList({owner.casefold(): "admin"} if owner else {})

    def attach(self, app: FastAPI) -> None:
        """Hub mode: adds Hugging Face's login pages and session to the application. Nothing in local mode."""
        if self.mode == "hub":
            from huggingface_hub import attach_huggingface_oauth

            attach_huggingface_oauth(app)

    # --- asking ------------------------------------------------------------------------------------------------

    def identify(self, request: Request) -> Identity:
        """Who sends this request; a visitor without a name where nobody is logged in or a token is no good."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.casefold() == "bearer" and token:
            return self._by_token(token.strip())
        if self.mode == "hub":
            return self._by_login(request)
        return self._signed(request.cookies.get(COOKIE, ""))

    def login(self, name: str, response: Response) -> Identity:
        """Local mode: takes a typed name and puts it into a signed cookie. ReviewError for a name that is none."""
        if self.mode != "local":
            raise ReviewError("login", "names are not typed here: log in with Hugging Face (/oauth/huggingface/login)")
        name = " ".join(name.split())
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise ReviewError("value", f"a name has 1 to {LONGEST_NAME} printable characters, this has {len(name)}")
        response.set_cookie(COOKIE, self.token(name), max_age=STAYS, httponly=True, samesite="lax")
        return Identity(name, self.roles.role(name))

    def logout(self, response: Response) -> None:
        """Forgets the typed name."""
        response.delete_cookie(COOKIE)

    def token(self, name: str) -> str:
        """A signed token that stands for a name: what the cookie holds, and what a script may send."""
        return cast(str, self._signer().dumps(name))

    def _signer(self) -> Any:
        from itsdangerous import URLSafeTimedSerializer

        return URLSafeTimedSerializer(self._secret, salt="medprm-review")

    def _signed(self, token: str) -> Identity:
        from itsdangerous import BadData

        try:
            name = self._signer().loads(token, max_age=STAYS)
        except BadData:
            return NOBODY
        return Identity(name, self.roles.role(name))

    def _by_token(self, token: str) -> Identity:
        found = self._signed(token)
        return found if found.name or self.mode == "local" else self._by_hub(token)

    def _by_login(self, request: Request) -> Identity:
        from huggingface_hub import parse_huggingface_oauth

        try:
            info = parse_huggingface_oauth(request)
        except (AssertionError, KeyError):  # no session on this application
            return NOBODY
        if info is None:
            return NOBODY
        user = info.user_info
        orgs = tuple(str(org.preferred_username or org.name) for org in user.orgs or [])
        return Identity(user.preferred_username, self.roles.role(user.preferred_username, orgs))

    def _by_hub(self, token: str) -> Identity:
        """Whose Hugging Face token this is; asked once in `_KNOWN_FOR` seconds."""
        from medprm_hf.ids import content_hash

        key, now = content_hash("token", token, length=64), time.monotonic()
        with self._lock:
            known = self._hub_names.get(key)
        if known and now - known[0] < _KNOWN_FOR:
            return known[1]
        found = self._ask_hub(token)
        with self._lock:
            self._hub_names = {k: v for k, v in self._hub_names.items() if now - v[0] < _KNOWN_FOR} | {
                key: (now, found)
            }
        return found

    def _ask_hub(self, token: str) -> Identity:
        from huggingface_hub import HfApi
        from huggingface_hub.errors import HfHubHTTPError

        try:
            who = HfApi(token=token).whoami()
        except (HfHubHTTPError, OSError, ValueError):
            return NOBODY
        orgs = tuple(str(org.get("name")) for org in who.get("orgs", []))
        return Identity(who["name"], self.roles.role(who["name"], orgs))
