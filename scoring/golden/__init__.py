"""Golden sets: battles with the answers that a panel is known to give, which it must give again before it serves."""
