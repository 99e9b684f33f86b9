"""What of a judge is fitted rather than trained: the minimum of a convex loss."""
