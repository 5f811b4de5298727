"""Ctrl-C while requests are out: they end and are kept, no new one is sent."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
import time
from pathlib import Path

import pytest

from medprm_hf.backends import open_backend
from medprm_hf.backends.books import open_books
from medprm_hf.backends.protocol import Message, Request, Sampling
from medprm_hf.backends.stopping import stoppable
from medprm_hf.errors import StoppedError
from tests.backends.servers import serve


@pytest.mark.usefixtures("hears_ctrl_c")
def test_what_is_in_flight_ends_and_is_kept_and_nothing_more_is_asked(tmp_path: Path) -> None:
    requests = [Request((Message("user", f"Question {i}?"),), sampling=Sampling(0.5), key=str(i)) for i in range(40)]
    journal, said = tmp_path / "journal.sqlite", []
    with serve(delay=0.4) as server, open_books(journal):
        backend = open_backend(f"openai:tiny?base_url={server.url}&concurrency=4")
        press = threading.Timer(0.6, os.kill, (os.getpid(), signal.SIGINT))
        began = time.monotonic()
        with stoppable(lambda: said.append("stopping")), pytest.raises(StoppedError):
            press.start()
            backend.complete(requests)
        assert said == ["stopping"]
        assert 4 < len(server.seen) <= 8, "the second four were out; no third four"
        assert time.monotonic() - began < 3
        backend.close()
    with sqlite3.connect(journal) as link:
        assert link.execute("SELECT count(*) FROM answers").fetchone()[0] == len(server.seen)
