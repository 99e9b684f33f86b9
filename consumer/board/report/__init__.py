"""What the board says: read from its store, and shaped for people and for programs."""
