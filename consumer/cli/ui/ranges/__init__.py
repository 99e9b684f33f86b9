"""How commands show what they do with a range of a topic."""
