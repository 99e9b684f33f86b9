"""A command's process: how it starts, what its collector leaves alone, how it ends."""
