"""The panel: judges in threads, and the answer that they give together."""
