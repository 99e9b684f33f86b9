"""Live calibration: votes joined with preferences in memory, and a panel's calibration that follows them."""
