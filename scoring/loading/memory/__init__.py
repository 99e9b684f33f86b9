"""How much memory judges need on their devices, and what is left of it for a pass."""
