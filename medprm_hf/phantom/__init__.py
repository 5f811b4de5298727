"""The phantom world: images whose truth is known, an oracle for every step, and two tiny checkpoints.

world      scenes and the splits that name them; a scene is regenerated from its question id
render     a scene as a 64x64 grey image
chains     true solutions, and solutions with systematic errors
oracle     right or wrong, and which kind of error, for every step
questions  the rows of the `sources` stage
model      the tiny Qwen2.5-VL and its processor; where the shipped checkpoints lie
train      the training that makes them
figures    what they score, with intervals
card       the README of a checkpoint
"""
