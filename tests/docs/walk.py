"""Walks through pages as a reader does: in a folder, block by block, commands as printed, python in one session.

    python -m tests.docs.walk RESULTS.jsonl fast PAGE=FOLDER … [--own-process] [--put A=B …]

One line a block goes to RESULTS. `fast` leaves out what is marked slow, `all` nothing; blocks that are shown only are
left out. Words of `medprm` run in this process, which saves imports, or each in its own (`--own-process`). `--put
A=>B` changes pages and the recipes that commands write: a free port for the page's, a local server for a model's.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
import traceback
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.docs.blocks import ROOT, Block, blocks
from tests.docs.marks import marked
from tests.house.page_runner import SERVERS, started

PATIENCE = 600
"""Seconds that one command may take."""
LEFT_OUT = ("show-only", "elsewhere")
_SHELLED = re.compile(r"[|><&;]|\$\(")
PORTS = {"medprm space": "7860", "medprm serve": "8080", "python -m tests.hub.local_hub": "8787"}


class Walker:
    """One page in one folder."""

    def __init__(self, folder: Path, puts: dict[str, str], own_process: bool) -> None:
        self.folder, self.puts, self.own_process = folder, puts, own_process
        self.names: dict[str, Any] = {"__name__": "page", **_before(folder)}
        self.servers: list[subprocess.Popen[bytes]] = []

    def walk(self, block: Block) -> None:
        """Runs one block; raises where it fails."""
        block = replace(block, code=self._put(block.code))
        wanted = re.search(r"exit=([\d,]+)", block.run)
        if block.kind == "python":
            exec(compile(block.code, block.name, "exec"), self.names)
            return
        codes = [self._command(line) for line in block.commands]
        expected = [int(code) for code in wanted[1].split(",")] if wanted else [0] * len(codes)
        if codes != expected:
            raise AssertionError(f"exit codes {codes} of {block.commands}, not {expected}")

    def beforehand(self) -> None:
        """Types what the folder's before.sh says was typed before the page."""
        file = self.folder / "before.sh"
        for line in file.read_text().splitlines() if file.is_file() else ():
            subprocess.run(self._put(line), shell=True, check=True)

    def _put(self, text: str) -> str:
        for old, new in self.puts.items():
            text = text.replace(old, new)
        return text

    def _command(self, line: str) -> int:
        print(f"$ {line}", flush=True)
        if line.startswith((*SERVERS, *PORTS)) and "--write-folder" not in line:
            self._serve(line)
            return 0
        if line.startswith("export "):  # this process has read its environment: others come from now on
            os.environ.update(pair.split("=", 1) for pair in shlex.split(line, comments=True)[1:])
            self.own_process = True
            return 0
        if line.startswith("pip install"):
            return _is_offered(line)
        own = self.own_process or not line.startswith("medprm ") or _SHELLED.search(line.partition(" #")[0])
        code = subprocess.run(line, shell=True, timeout=PATIENCE).returncode if own else _in_process(line)
        for recipe in self.folder.glob("*.yaml"):
            recipe.write_text(self._put(recipe.read_text()))
        return code

    def _serve(self, line: str) -> None:
        if not line.startswith("python"):
            self.stop()  # a page's servers share a port
        line = line.partition(" #")[0].strip()
        port = self._put(next(port for word, port in PORTS.items() if line.startswith(word)))
        _until_free(int(port))
        self.servers.append(started(line if "--port" in line else f"{line} --port {port}"))

    def stop(self) -> None:
        """Ends what serves."""
        for server in self.servers:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(30)
        self.servers = []


def _until_free(port: int) -> None:
    """Waits until nobody listens there any more: a server that is ending answers for a moment longer."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) != 0:
                return
        time.sleep(0.2)


def _is_offered(line: str) -> int:
    """Nothing is installed: what is asked for has to be an extra of ours."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = re.search(r"medprm-hf\[([\w,-]+)\]", line)
    return 0 if asked and set(asked[1].split(",")) <= set(project["optional-dependencies"]) else 1


def _in_process(line: str) -> int:
    from medprm_hf.cli import main

    sys.argv = shlex.split(line, comments=True)
    try:
        main()
    except SystemExit as left:
        return int(left.code or 0) if not isinstance(left.code, str) else 1
    return 0


def _before(folder: Path) -> dict[str, Any]:
    """Names that a page's first python block takes as given: the folder's before.py."""
    names: dict[str, Any] = {}
    if (folder / "before.py").is_file():
        exec(compile((folder / "before.py").read_text(), "before.py", "exec"), names)
    return names


def _walk_page(page: Path, walker: Walker, depth: str, results: Path) -> None:
    for block in map(marked, blocks(page)):
        if block.kind == "shown" or block.run.startswith(LEFT_OUT) or (depth == "fast" and "slow" in block.run):
            continue
        begun, problem = time.perf_counter(), None
        try:
            walker.walk(block)
        except BaseException:
            problem = traceback.format_exc()
        line = {"block": block.name, "seconds": round(time.perf_counter() - begun, 2), "problem": problem}
        with results.open("a") as out:
            out.write(json.dumps(line) + "\n")


def main() -> None:
    """Reads the command line, walks."""
    reader = argparse.ArgumentParser()
    reader.add_argument("results", type=Path)
    reader.add_argument("depth", choices=("fast", "all"))
    reader.add_argument("pages", nargs="+")
    reader.add_argument("--own-process", action="store_true")
    reader.add_argument("--put", nargs="*", default=[])
    asked = reader.parse_args()
    before = dict(os.environ)
    for pair in asked.pages:
        page, folder = (Path(one).resolve() for one in pair.split("=", 1))
        os.chdir(folder)
        walker = Walker(folder, dict(put.split("=>", 1) for put in asked.put), asked.own_process)
        try:
            if asked.depth == "all":
                walker.beforehand()
            _walk_page(page, walker, asked.depth, asked.results.resolve())
        finally:
            walker.stop()
            os.environ.clear()
            os.environ.update(before)


if __name__ == "__main__":
    main()
