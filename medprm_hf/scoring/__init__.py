"""Scoring: how a solution becomes tokens, and how a process reward model's scores are read from them."""
