"""The memory of a judge's device: what it takes, what is done when it runs out, how that is told from a lost card."""
