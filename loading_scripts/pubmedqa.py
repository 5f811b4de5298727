"""PubMedQA (pqa_labeled): yes/no/maybe questions on abstracts of PubMed, answered by experts (Jin et al. 2019).

Hub: qiaojin/PubMedQA
Licence: MIT
Redistribution: yes, with the licence's text
Needs: nothing to sign
Columns: of the authors' JSON QUESTION, CONTEXTS, final_decision by PMID; of the Hub pubid, question, context,
    final_decision
Checked: ../shared/data/pubmedqa/pqal_dev500.json (the authors' ori_pqal.json); the Hub's columns from memory

The abstract's sections become the clinical context; the long answer is left out, since it says the gold answer. The
Hub's one split is called train for want of another name: these rows have none.

    python loading_scripts/pubmedqa.py ../shared/data/pubmedqa/pqal_dev500.json --limit 5
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from medprm_hf.errors import DataError
from medprm_hf.sources import Record, choice, records, run_script, text

HUB = "qiaojin/PubMedQA"
LICENSE = "MIT"
OPTIONS = ["yes", "no", "maybe"]


def rows(path: str | None = None, hub: str = HUB, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """Question rows of the Hub dataset, of a copy of it, or of the authors' JSON; `limit` takes the first."""
    for record in islice(records(path, hub, config="pqa_labeled"), limit):
        pmid, question, contexts, decision = _told(record)
        yield {
            "question_id": f"pubmedqa-{pmid}",
            "question": question,
            **choice(OPTIONS, answer=decision),
            "modality": "text",
            "clinical_context": "\n".join(contexts) or None,
            "group": pmid,
            "source": "pubmedqa",
            "license": LICENSE,
        }


def _told(record: Record) -> tuple[str, str, list[str], str]:
    """(PMID, question, sections of the abstract, decision) of either layout."""
    value = record.value
    if "QUESTION" in value and record.key is not None:
        return record.key, text(value["QUESTION"]), list(value.get("CONTEXTS") or []), text(value.get("final_decision"))
    if "pubid" in value and "question" in value:
        context = value.get("context") or {}
        return (
            str(value["pubid"]),
            text(value["question"]),
            list(context.get("contexts") or []),
            text(value.get("final_decision")),
        )
    raise DataError(f"{record.where} is no PubMedQA: it has {', '.join(map(str, value))}")


if __name__ == "__main__":
    run_script(rows, __doc__)
