"""A converter as a program: `python loading_scripts/slake.py --path copy/of/SLAKE --limit 3` prints its rows as JSON.

Options are the parameters of its `rows`; their values are read as YAML (`--limit 3`, `--yes_no false`).
"""

from __future__ import annotations

import argparse
import inspect
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

import yaml

from medprm_hf.errors import MedPRMError


def run_script(rows: Callable[..., Iterator[dict[str, Any]]], about: str | None) -> None:
    """Reads the command line, prints a row a line; an image is shown as its name and size."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("place", nargs="?", help="the same as --path")
    for name, parameter in inspect.signature(rows).parameters.items():
        given = parameter.default if parameter.default is not inspect.Parameter.empty else argparse.SUPPRESS
        parser.add_argument(f"--{name}", default=given, metavar="VALUE")
    options = vars(parser.parse_args())
    place = options.pop("place")
    if place is not None:
        options["path"] = place
    try:
        for row in rows(**{name: _value(value) for name, value in options.items()}):
            print(json.dumps({name: _shown(value) for name, value in row.items()}, ensure_ascii=False))
    except MedPRMError as error:
        sys.exit(f"error: {error}")
    except BrokenPipeError:  # `| head`
        sys.stderr.close()
    except TypeError as error:
        if "argument" not in str(error):
            raise
        sys.exit(f"error: {error}: see --help")


def _value(given: Any) -> Any:
    return yaml.safe_load(given) if isinstance(given, str) and given else given


def _shown(value: Any) -> Any:
    """A cell as JSON can hold it."""
    if isinstance(value, dict) and "bytes" in value:
        held = value["bytes"]
        return {"path": value.get("path"), "bytes": len(held) if held is not None else None}
    if isinstance(value, str | int | float | list | dict | None):
        return value
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    return getattr(value, "sha256", None) or str(value)[:120]
