"""`make figures`: every benchmark and study, run, collected and shown; see `__main__.py`."""
