"""What the converters of `loading_scripts/` share: reading a dataset as it is published, and making rows of it.

reading.py    records of files, folders and Hub datasets, one at a time
streams.py    JSON, JSONL, CSV and Parquet files without holding one whole
pictures.py   images beside a table: in a folder, or still in their ZIP
rows.py       options, gold answers, splits and contexts as the question table has them
classes.py    questions from class labels
chest.py      the 14 findings of CheXpert and MIMIC-CXR
header.py     what a converter's header says: licence, Hub id, what must be signed
script.py     `python loading_scripts/NAME.py --path …`
"""

from medprm_hf.sources.classes import ask_class, ask_rows
from medprm_hf.sources.header import Header, read_header
from medprm_hf.sources.pictures import Pictures, picture
from medprm_hf.sources.reading import Record, hub_files, records
from medprm_hf.sources.rows import choice, closed, context, optional, split_name, text
from medprm_hf.sources.script import run_script

__all__ = [
    "Header",
    "Pictures",
    "Record",
    "ask_class",
    "ask_rows",
    "choice",
    "closed",
    "context",
    "hub_files",
    "optional",
    "picture",
    "read_header",
    "records",
    "run_script",
    "split_name",
    "text",
]
