"""What commands found out, as tables and lines for a terminal."""
