"""Labels: pure functions on arrays; no dataset, no client, no file."""
