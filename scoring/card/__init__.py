"""What people's judgements say of the panel that ships: a file beside it, which the demo shows."""
