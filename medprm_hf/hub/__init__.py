"""The one client of the Hub: commits that are whole or not there, pull requests, reading, and errors with a way out.

    from medprm_hf.hub import HubRepo
    repo = HubRepo("org/medmm-prm")
    repo.create(private=True)
    repo.commit({"data/train-00000.parquet": Path("train.parquet"), "old.parquet": None}, "Second batch")
    repo.read("README.md", revision="v1.0")

It speaks through `huggingface_hub`, which chooses how bytes travel (plain, LFS or xet) and where tokens come from.
"""

from medprm_hf.hub.committing import Commit
from medprm_hf.hub.pull_requests import PullRequest
from medprm_hf.hub.quiet import quiet
from medprm_hf.hub.repo import HubRepo, Kind

__all__ = ["Commit", "HubRepo", "Kind", "PullRequest", "quiet"]
