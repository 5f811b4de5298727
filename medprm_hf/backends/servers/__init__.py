"""Backends that ask a server: one driver for all, and what each server speaks."""
