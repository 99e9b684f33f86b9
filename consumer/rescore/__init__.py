"""A range of a topic, scored once more by another panel: to a file, or to a topic exactly once."""
