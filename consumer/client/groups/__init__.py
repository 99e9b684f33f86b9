"""Consumer groups, seen from outside."""
