"""`hub`: a local Hub that the whole session shares; each test makes repos of its own names on it.

    def test_x(hub: TestHub, tmp_path: Path) -> None:
        repo = hub.repo("owner")                                   # HubRepo, made, on a fresh name
        run(["medprm", …], env=hub.environment("owner", tmp_path)) # clients that read HF_ENDPOINT at import

In this process the client is told to go online and to leave xet off for the time of the test (conftest.py switches
the Hub off for all others); `HubRepo` and `HfApi` get address and token as arguments.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from medprm_hf.hub import HubRepo, Kind

if TYPE_CHECKING:
    from tests.hub.local_hub import LocalHub

ROOT = Path(__file__).parents[2]
_numbers = itertools.count(1)


class TestHub:
    """What a test needs of the local Hub."""

    __test__ = False

    def __init__(self, server: LocalHub, folder: Path) -> None:
        self.server, self.folder, self.url = server, folder, server.url

    @staticmethod
    def token(role: str) -> str:
        """The token of owner, contributor, reader or stranger; digits behind make another person of that role."""
        return f"hf_{role}"

    def environment(self, role: str | None, home: Path | None = None) -> dict[str, str]:
        """The environment of a subprocess that shall meet this Hub; `home` keeps its cache and token file."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING_FACE"))}
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home or self.folder / "home"),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
            "PYTHONPATH": str(ROOT),
        }
        return {**kept, **own, **({"HF_TOKEN": self.token(role)} if role else {})}

    def python(self, code: str, role: str | None, home: Path | None = None, timeout: float = 120) -> str:
        """Runs code in a Python of its own that meets this Hub; gives what it printed."""
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=self.environment(role, home),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def name(self) -> str:
        """A name that no other test has."""
        return f"org/set-{next(_numbers)}"

    def repo(self, role: str | None = "owner", name: str | None = None, kind: Kind = "dataset") -> HubRepo:
        """A repo as one person sees it; without a name a new public one is made."""
        if name is None:
            name = self.name()
            HubRepo(name, kind, self.token("owner"), self.url).create(private=False)
        return HubRepo(name, kind, self.token(role) if role else None, self.url)

    def fault(self, route: str, status: int | None, when: str = "before", times: int = 1, seconds: float = 0) -> None:
        """Orders an error: `status` 0 breaks the connection, None only waits; `when="after"`: the work was done."""
        order = {"route": route, "status": status, "when": when, "times": times, "seconds": seconds}
        self.server.app.faults.waiting.append(order)

    def asked(self, words: str) -> list[tuple[str, str, str]]:
        """(method, path, range) of the requests so far whose path holds these words."""
        return [served for served in self.server.app.served if words in served[1]]


@pytest.fixture(scope="session")
def hub_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestHub]:
    """The server, once a session."""
    from tests.hub.local_hub import LocalHub

    folder = tmp_path_factory.mktemp("hub")
    with LocalHub(folder / "store") as server:
        yield TestHub(server, folder)


@pytest.fixture
def hub(hub_server: TestHub, monkeypatch: pytest.MonkeyPatch) -> TestHub:
    """The local Hub, with this process's client online and without xet."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(hub_server.folder / "no-token"))
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    hub_server.server.app.faults.waiting.clear()
    return hub_server
