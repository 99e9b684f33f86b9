"""What the board knows, in one SQLite file: written by one process, read by many."""
