"""Text: prompts, steps, answers and verdicts; pure functions on strings."""
