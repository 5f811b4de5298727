"""A run becomes a public dataset: its tables, card and checks, contributions by pull request and their review."""
