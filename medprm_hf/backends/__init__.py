"""Backends: who answers. `open_backend("phantom:policy").complete([Request(...)])`."""

from medprm_hf.backends.open import open_backend
from medprm_hf.backends.protocol import Backend, Completion, Failure, Message, Reply, Request, Sampling, Usage

__all__ = [
    "Backend",
    "Completion",
    "Failure",
    "Message",
    "Reply",
    "Request",
    "Sampling",
    "Usage",
    "open_backend",
]
