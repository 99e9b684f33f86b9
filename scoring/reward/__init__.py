"""A panel as a reward model, on its own and in TRL."""
