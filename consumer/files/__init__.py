"""Files without the stream: scored, or fed to a topic."""
