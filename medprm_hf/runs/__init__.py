"""Runs: a recipe carried out shard by shard, and what it leaves for people."""
