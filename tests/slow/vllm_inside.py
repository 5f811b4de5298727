"""Run by the vLLM venv's Python, which lacks this package's other needs: answers pickled requests with one backend.

python tests/slow/vllm_inside.py SPEC REQUESTS.pickle REPLIES.pickle [JOURNAL]
"""

from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

sys.path.append(os.environ["LENT"])  # last: only what the venv has not comes from there (orjson)

from medprm_hf.backends import open_backend  # noqa: E402
from medprm_hf.backends.books import open_books  # noqa: E402
from medprm_hf.backends.open import close_backends  # noqa: E402


def main(spec: str, asked: str, answered: str, journal: str = "") -> None:
    groups = pickle.loads(Path(asked).read_bytes())
    with open_books(journal=Path(journal) if journal else None):
        backend = open_backend(spec)
        replies = [backend.complete(group) for group in groups]
    Path(answered).write_bytes(pickle.dumps(replies))
    close_backends()


if __name__ == "__main__":  # vLLM starts processes that read this file again
    main(*sys.argv[1:])
