"""One model is loaded at a time.

    with ONE_LOAD:
        model = AutoModel.from_pretrained(folder)

While transformers loads a model, new modules are made on the meta device by a switch of the whole process: a second
thread that loads another at that moment gets weights that hold nothing ("Cannot copy out of meta tensor").
"""

from __future__ import annotations

from threading import RLock

ONE_LOAD = RLock()
"""Held while a model is made; the same thread may take it again."""
