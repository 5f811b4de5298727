"""Runs the blocks of one section of a page as a reader would: python in one session, commands in its folder, in order.

    python page_runner.py docs/using.md "Load the data" 7860=41234

Commands that serve (`medprm space`, `medprm serve`) are started, waited for, and ended with the section. `A=B` puts a
free port in the place of the page's.
"""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

SERVERS = ("medprm space", "medprm serve")
Block = tuple[str, str]


def sections(page: str) -> dict[str, list[Block]]:
    """The (language, code) blocks of each `##` section."""
    found: dict[str, list[Block]] = {}
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        found[title.strip()] = re.findall(r"^```(\w*)\n(.*?)^```$", body, re.MULTILINE | re.DOTALL)
    return found


def started(line: str) -> subprocess.Popen[bytes]:
    """A server, once its port answers."""
    port = int(re.search(r"--port (\d+)", line)[1])  # type: ignore[index]
    process = subprocess.Popen(line, shell=True, start_new_session=True)
    end = time.monotonic() + 120
    while time.monotonic() < end and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return process
        except OSError:
            time.sleep(0.2)
    raise SystemExit(f"{line} does not answer")


def run(blocks: list[Block]) -> None:
    names: dict[str, object] = {"__name__": "page"}
    servers: list[subprocess.Popen[bytes]] = []
    try:
        for language, code in blocks:
            if language == "python":
                exec(compile(code, "page", "exec"), names)
                continue
            for line in filter(None, map(str.strip, code.splitlines())):
                print(f"$ {line}", flush=True)
                if line.startswith(SERVERS):
                    servers.append(started(line))
                else:
                    subprocess.run(line, shell=True, check=True)
    finally:
        import os

        for server in servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(20)


if __name__ == "__main__":
    text = Path(sys.argv[1]).read_text(encoding="utf-8")
    for pair in sys.argv[3:]:
        text = text.replace(*pair.split("=", 1))
    run(sections(text)[sys.argv[2]])
