"""Whether the judges can be trusted now, who gets a vote, and where a person should look, from what the store has."""
