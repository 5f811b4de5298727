"""A real `transformers serve` on this machine, for tests: start it, wait until it answers, stop it.

    with transformers_server(checkpoint, log=tmp / "serve.log") as server:
        open_backend(f"openai:{server.name}?base_url={server.base_url}")

It comes with transformers[serving] and speaks a part of OpenAI's protocol: no n, no log-probabilities, no continuation.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from tests.vllm_server import VllmServer, _free_port, _stop, _wait

LACKING = [name for name in ("transformers", "torch", "fastapi", "uvicorn") if find_spec(name) is None]
"""What must be installed and is not."""


@contextmanager
def transformers_server(checkpoint: Path, log: Path) -> Iterator[VllmServer]:
    """Serve a checkpoint on a free port of 127.0.0.1; its name is its path."""
    port, binary = _free_port(), Path(sys.executable).with_name("transformers")
    command = [str(binary), "serve", str(checkpoint), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=environment, start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            yield VllmServer(f"http://127.0.0.1:{port}/v1", str(checkpoint))
        finally:
            _stop(process)
