"""What `medprm space` does: serve the Space here, or write the folder that a Hugging Face Space is made of."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from medprm_hf.app.settings import AppSettings
from medprm_hf.errors import ConfigError, MissingExtraError

SPACE_FILES = ("README.md", "requirements.txt", "app.py")


def serve(host: str, port: int, given: dict[str, Any]) -> None:
    """Serves until it is stopped; `given` goes before the MEDPRM_* variables."""
    settings = replace(AppSettings.from_env(), **given)
    if settings.store == AppSettings.store and settings.dataset is not None and settings.dataset.is_dir():
        settings = replace(settings, store=settings.dataset / settings.store)  # where `medprm review RUN` puts it
    run(settings, host, port)


def run(settings: AppSettings, host: str, port: int) -> None:
    """Serves these settings until it is stopped; MissingExtraError without Gradio."""
    try:
        import gradio  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise MissingExtraError("medprm space", "space", str(error.name)) from None
    from medprm_hf.app.main import build_app

    app = build_app(settings)
    print(f"{settings.title} on http://{host}:{port} (research, not for clinical use); stop with Ctrl-C", flush=True)
    # On a Space the proxy in front tells scheme and address of whoever asks.
    behind = "*" if os.environ.get("SPACE_ID") else None
    uvicorn.run(
        app, host=host, port=port, log_level="warning", forwarded_allow_ips=behind, timeout_graceful_shutdown=3
    )  # fmt: skip


def write_space(folder: Path) -> list[str]:
    """Writes README.md, requirements.txt and app.py of a Space into an empty or new folder; says what to do next."""
    if folder.exists() and any(folder.iterdir()):
        raise ConfigError(f"{folder} is not empty: name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    source = space_source()
    for name in SPACE_FILES:
        shutil.copyfile(source / name, folder / name)
    return [
        f"wrote {', '.join(SPACE_FILES)} to {folder}",
        "set its variables (docs/space.md) in README.md or in the Space's settings, then:",
        f"  hf upload ORG/NAME {folder} --repo-type space",
    ]


def space_source() -> Path:
    """Where space/ lies: in the package of an installed wheel, or beside it in a checkout."""
    package = Path(__file__).parents[1]
    for folder in (package / "space", package.parent / "space"):
        if (folder / "app.py").is_file():
            return folder
    raise ConfigError("the files of space/ are not installed: use a wheel of medprm-hf, or a checkout")
