"""Training: labelled solutions become a process reward model, on TRL's SFTTrainer."""
