"""Judges whose models run on a server of their own: what is asked of it, and how its answers are checked."""
