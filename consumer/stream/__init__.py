"""The stream: battles in, preferences and dead letters out, exactly once."""
