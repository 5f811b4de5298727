"""A fresh review store is filled from the datasets that the Space was started with, by a thread, once it answers.

    Filling(settings).begin()        # does nothing where the store holds items already, or there is no dataset

Runs go through what `medprm review` does, so that questions that wait for a person come too; datasets row by row.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from threading import Thread

from medprm_hf.app.settings import AppSettings
from medprm_hf.app.tables import Table
from medprm_hf.errors import MedPRMError, StoreError

_log = logging.getLogger(__name__)


class Filling:
    """Fills one store once."""

    def __init__(self, settings: AppSettings) -> None:
        self._settings = settings
        self._thread = Thread(target=self._run, name="fill-review-store", daemon=True)

    def begin(self) -> None:
        """Starts the thread; returns at once."""
        if self._settings.datasets:
            self._thread.start()

    def _run(self) -> None:
        try:
            if is_empty(self._settings.store):
                for name in self._settings.datasets:
                    fill(self._settings, name)
        except (MedPRMError, OSError, sqlite3.Error, ValueError) as error:
            _log.warning("the review store %s could not be filled: %s", self._settings.store, error)


def fill(settings: AppSettings, name: str) -> None:
    """Adds one dataset's solutions that wait for a reviewer, and the quality sample."""
    from medprm_hf.app.review_commands import ReviewOptions, review
    from medprm_hf.review.settings import StoreSettings
    from medprm_hf.review.store import ReviewStore

    if (Path(name) / "shards").is_dir():
        try:
            review(Path(name), ReviewOptions(store=settings.store, blind=settings.blind or None))
            return
        except StoreError as error:  # made by another version: its dataset can be read all the same
            _log.info("%s", error)
    store = ReviewStore(settings.store, StoreSettings(blind=True) if settings.blind else None)
    try:
        store.add(Table(name).stream(), batch=name)
    finally:
        store.close()


def is_empty(store: Path) -> bool:
    """Whether a store holds no item."""
    from medprm_hf.review.store import ReviewStore

    opened = ReviewStore(store)
    try:
        return opened.database.read().execute("SELECT 1 FROM items LIMIT 1").fetchone() is None
    finally:
        opened.close()
