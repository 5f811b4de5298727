"""What a process reward model is worth: by its steps, by the answers it chooses, by how far to trust it."""
