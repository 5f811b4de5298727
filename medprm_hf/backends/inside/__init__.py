"""Backends that run a model in this process: transformers and vLLM."""
