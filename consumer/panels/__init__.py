"""Panels that change while the service runs: what is chosen, by the panels topic, and how a process takes it over."""
