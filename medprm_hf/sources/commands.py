"""What `medprm import` without a source prints: every source with its licence and what it needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import entry_points
from pathlib import Path

from medprm_hf.errors import ConfigError
from medprm_hf.sources.header import headers


def listing(folder: Path) -> list[str]:
    """The sources of a folder of converters, and those that other packages offer, two lines each."""
    said = []
    for one in headers(folder):
        said += [f"{one.name}: {one.title.split(': ', 1)[-1]}"]
        said += [f"    {one.hub or 'local copy'} · {one.license} · {one.needs}"]
    for point in entry_points(group="medprm_hf.source"):
        said += [f"{point.name}: from the package {point.dist.name if point.dist else point.value}"]
    said.append("phantom: questions whose every step's truth is known (simulated); built in")
    said.append("Then: medprm import SOURCE --set path=COPY --limit 100 --out questions.parquet (docs/sources.md)")
    return said


def options_of(settings: Sequence[str]) -> dict[str, object]:
    """`--set key=value` with YAML values, as the converter's options."""
    import yaml

    options: dict[str, object] = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {setting}: write it as key=value, for example path=copy/of/vqa-rad")
        options[key] = yaml.safe_load(value)
    return options
