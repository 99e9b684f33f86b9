"""The demo: battles through the real stream, and a check of what came out."""
