"""Imaging: images of any kind as bytes that a model can be sent."""
