"""Whether every record of a range has exactly one answer, who gave them, and what was left out of them."""
