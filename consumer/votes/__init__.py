"""Votes: what people said of battles, later."""
