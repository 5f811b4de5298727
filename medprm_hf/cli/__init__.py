"""`medprm <word>`: the command line. Each word is a thin layer over a function of the package."""

from __future__ import annotations

import sys

import typer

from medprm_hf.cli import formats, hub, journal, models, phantom, runs, space
from medprm_hf.errors import BudgetError, MedPRMError, PendingError

app = typer.Typer(
    name="medprm",
    help="Step labels and process reward models for medical reasoning with images.\n\n"
    "Begin with `medprm demo` (offline, minutes), then `medprm init hybrid` and `medprm build recipe.yaml`. "
    "Research software, not for clinical use.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)
for room in (runs, formats, models, space, hub):
    room.register(app)
app.add_typer(phantom.phantom, name="phantom", no_args_is_help=True)
app.add_typer(journal.journal, name="journal", no_args_is_help=True)

BUDGET_SPENT = 3
"""Exit code when the budget, or the account's quota, is spent."""
COME_BACK = 4
"""Exit code when a provider's batch is under way."""


def main() -> None:
    """Entry point: our own errors are messages, not tracebacks; a spent budget leaves with 3, Ctrl-C with 130,
    and a run that waits for a provider's batch with 4."""
    try:
        sys.exit(app(standalone_mode=False))  # Ctrl-C comes back as 130
    except MedPRMError as error:
        typer.secho(f"error: {error}", fg="red", err=True)
        later = COME_BACK if isinstance(error, PendingError) else 1
        sys.exit(BUDGET_SPENT if isinstance(error, BudgetError) else later)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # click's usage errors
            error.show()
            sys.exit(error.exit_code)
        raise
