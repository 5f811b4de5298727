"""Keeps the generated part of docs/sources.md as the converters' headers are.

python -m medprm_hf.sources.page docs/sources.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from medprm_hf.errors import DataError
from medprm_hf.loading import scripts_folder
from medprm_hf.sources.header import headers, markdown_table

BEGIN = "<!-- from the converters' headers; python -m medprm_hf.sources.page docs/sources.md -->"
END = "<!-- end -->"


def renewed(page: str) -> str:
    """The page with the table between its two marks made anew; raises DataError where the marks lack."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise DataError(f"the page has no place for the table: put {BEGIN} and {END} in it")
    return f"{before}{BEGIN}\n\n{markdown_table(headers(scripts_folder()))}\n\n{END}{after}"


if __name__ == "__main__":
    for name in sys.argv[1:]:
        file = Path(name)
        file.write_text(renewed(file.read_text(encoding="utf-8")), encoding="utf-8")
