"""The Space: settings come from MEDPRM_* variables (README.md), the page from medprm-hf."""

import os

from medprm_hf.app.commands import run
from medprm_hf.app.settings import AppSettings

if __name__ == "__main__":
    run(AppSettings.from_env(), host="0.0.0.0", port=int(os.environ.get("PORT", "7860")))
