"""Products in 8 bits, for judges on a CPU."""
