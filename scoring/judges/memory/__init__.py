"""The memory of a judge's device: what is done when it runs out, and how that is told from a lost card."""
