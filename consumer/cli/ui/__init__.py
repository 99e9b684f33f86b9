"""What commands show while they work: bars, lines, tables."""
