"""Numbers that a schema registry gives our schemas, by which its clients find them."""
