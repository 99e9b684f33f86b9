"""Dead letters: read without a trace, and sent back once."""
