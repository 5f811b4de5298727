"""Who somebody is: roles from a file, tokens, the Hub's own."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("itsdangerous")
pytest.importorskip("fastapi")
from starlette.requests import Request

from medprm_hf.app.identity import NOBODY, ROLES, Identities, Identity, RoleList
from medprm_hf.app.settings import AppSettings
from medprm_hf.errors import ConfigError
from tests.hub.fixtures import TestHub


def request(**headers: str) -> Request:
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "headers": raw, "method": "GET", "path": "/"})


def test_roles_of_a_file(tmp_path: Path) -> None:
    file = tmp_path / "roles.yaml"
    file.write_text("admin: [lead]\nreviewer: [Ann, lead]\norg: hospital\ndefault: visitor\n")
    roles = RoleList.read(file)
    assert [roles.role(name) for name in ("lead", "ann", "ANN", "zoe")] == ["admin", "reviewer", "reviewer", "visitor"]
    assert roles.role("zoe", ("hospital",)) == "reviewer" and roles.role("zoe", ("other",)) == "visitor"
    file.write_text('{"adjudicator": ["prof"]}')
    assert Identities.from_settings(AppSettings(roles=file)).roles.role("prof") == "adjudicator"


@pytest.mark.parametrize("text", ["reviwer: [ann]", "- ann", "default: king", "a: ["])
def test_a_roles_file_that_cannot_be_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "roles.yaml").write_text(text)
    with pytest.raises(ConfigError, match="roles file"):
        RoleList.read(tmp_path / "roles.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        RoleList.read(tmp_path / "nothing.yaml")


def test_each_role_may_do_what_those_before_may() -> None:
    for high, role in enumerate(ROLES):
        assert [Identity("x", role).may(other) for other in ROLES] == [low <= high for low in range(len(ROLES))]
        assert not Identity("", role).may("visitor")


def test_local_and_hub_have_their_own_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SPACE_ID", raising=False)
    assert Identities().mode == "local" and Identities().roles.role("anyone") == "admin"
    monkeypatch.setenv("SPACE_ID", "org/space")
    monkeypatch.setenv("SPACE_AUTHOR_NAME", "Owner")
    hub = Identities()
    assert hub.mode == "hub" and (hub.roles.role("owner"), hub.roles.role("anyone")) == ("admin", "visitor")
    assert hub.identify(request()) == NOBODY  # no session on the application, no login
    typed = Identities(mode="local").token("owner")
    assert hub.identify(request(cookie=f"medprm_session={typed}")) == NOBODY  # a typed name is no login there


def test_a_secret_of_its_own_outlives_a_restart() -> None:
    first, second = (Identities(mode="local", secret="kept") for _ in range(2))
    assert second.identify(request(authorization=f"Bearer {first.token('ann')}")).name == "ann"


ASKED = """
from starlette.requests import Request
from medprm_hf.app.identity import Identities, RoleList
asked = Identities(RoleList({{"owner": "reviewer"}}), mode="hub")
for token in ({token!r}, "hf_nonsense", ""):
    raw = [(b"authorization", b"Bearer " + token.encode())]
    scope = {{"type": "http", "headers": raw, "method": "GET", "path": "/"}}
    found = [asked.identify(Request(scope)) for _ in range(2)]
    assert found[0] == found[1]
    print(repr(found[0].name), found[0].role)
"""


def test_a_token_of_the_hub_is_asked_about(hub: TestHub) -> None:
    told = hub.python(ASKED.format(token=hub.token("owner")), None).split("\n")
    assert told[0].endswith("reviewer") and told[1:3] == ["'' visitor", "'' visitor"]
    assert len(hub.asked("whoami")) >= 2
